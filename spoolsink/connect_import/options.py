# ruff: noqa: E501 (a table reads best with a row on each line)
"""What becomes of each option of the connector: one table, for the import and for the docs."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Fate(Enum):
    """`CARRIED` options are read by the import; of the others the table knows the reason."""

    CARRIED = "yes"
    NEEDLESS = "not needed"
    LOST = "no"


class Option(NamedTuple):
    """`how`: the key that it becomes, or why there is none. `*` at the end stands for any rest.

    Values in `harmless` are what spoolsink does anyway: nothing is said about them.
    """

    name: str
    fate: Fate
    how: str
    harmless: tuple[str, ...] = ()


_YES, _NEEDLESS, _NO = Fate.CARRIED, Fate.NEEDLESS, Fate.LOST
_FALSE = ("false",)
_S3 = "io.confluent.connect.s3"

_RECORDS = (
    Option("name", _YES, "`name`; the group is `connect-<name>`, so the sink goes on where the stopped connector was"),
    Option("connector.class", _YES, f"must be `{_S3}.S3SinkConnector`"),
    Option("tasks.max", _YES, "one process is one task: start as many processes with the same file"),
    Option("topics", _YES, "`kafka.topics`"),
    Option("topics.regex", _YES, "`kafka.topics_pattern`"),
    Option("key.converter", _YES, "`records.key`: String, Json, JsonSchema (`framed: true`), ByteArray, Avro, Protobuf"),
    Option("value.converter", _YES, "`records.value`, likewise; when absent (the worker's) guessed from `format.class`"),
    Option("key.converter.schemas.enable", _YES, "`records.key_options: {schemas_enable: true}` (JsonConverter's default)"),
    Option("value.converter.schemas.enable", _YES, "`records.value_options: {schemas_enable: true}`: the `payload` is taken"),
    Option("value.converter.schema.registry.url", _YES, "`records.schema_registry.url`"),
    Option("key.converter.schema.registry.url", _YES, "`records.schema_registry.url`; one registry for keys and values"),
    Option("value.converter.basic.auth.user.info", _YES, "`records.schema_registry.username`, `password` as `${NAME}`"),
    Option("value.converter.basic.auth.credentials.source", _YES, "`USER_INFO` only"),
    Option("value.converter.bearer.auth.token", _YES, "`records.schema_registry.token` as `${NAME}`"),
    Option("key.converter.*", _NO, "the converter of spoolsink has no such setting"),
    Option("value.converter.*", _NO, "the converter of spoolsink has no such setting"),
    Option("header.converter", _NEEDLESS, "headers are written as text, or base64 where they are not UTF-8"),
    Option("header.converter.*", _NEEDLESS, "headers are written as text, or base64 where they are not UTF-8"),
    Option("behavior.on.null.values", _YES, "`records.on_null_value`: `ignore` is `skip`, `fail` (Connect's default) is `stop`, `write` is `write`"),
    Option("tombstone.encoded.partition", _NO, "null values are written where their record belongs"),
    Option("report.null.values.to.dlq", _NO, "skipped null values are counted, and sent nowhere", _FALSE),
    Option("errors.tolerance", _YES, "`records.on_error`: `none` is `stop`; `all` is `dead_letter` with a topic, else `skip`"),
    Option("errors.deadletterqueue.topic.name", _YES, "`records.dead_letter.topic`; one that the sink reads itself becomes `on_error: stop`"),
    Option("errors.deadletterqueue.context.headers.enable", _NEEDLESS, "Connect's `__connect.errors.` headers are always there", ("true",)),
    Option("errors.deadletterqueue.topic.replication.factor", _NO, "the topic must exist"),
    Option("errors.log.enable", _NEEDLESS, "bad records are always logged", ("true",)),
    Option("errors.log.include.messages", _NO, "record data never stands in the log", _FALSE),
    Option("errors.retry.timeout", _NO, "what can be tried again is tried until it works", ("0",)),
    Option("errors.retry.delay.max.ms", _NO, "back-off is built in"),
    Option("store.kafka.keys", _YES, "`records.form: full`: the key stands in the record, not in a file beside it"),
    Option("store.kafka.headers", _YES, "`records.form: full`: the headers stand in the record"),
    Option("keys.format.class", _NO, "keys stand in the record (`records.form: full`)"),
    Option("headers.format.class", _NO, "headers stand in the record (`records.form: full`)"),
    Option("transforms", _YES, "no transforms: each is named in a comment"),
    Option("transforms.*", _YES, "no transforms: each is named in a comment"),
    Option("predicates", _NO, "no transforms, and so no predicates"),
    Option("predicates.*", _NO, "no transforms, and so no predicates"),
    Option("config.action.reload", _NO, "a restart (also SIGHUP) reads references anew"),
    Option("confluent.*", _NEEDLESS, "there is no licence to check"),
    Option("producer.override.*", _NO, "the dead letters' producer takes `kafka.security`"),
    Option("admin.override.*", _NO, "there is no admin client beside `kafka.security`"),
)  # fmt: skip

_CONSUMER = (
    Option("consumer.override.bootstrap.servers", _YES, "`kafka.bootstrap_servers`; else the worker's, which the file does not tell: `${KAFKA_BOOTSTRAP_SERVERS}`"),
    Option("consumer.override.group.id", _YES, "`kafka.group_id`"),
    Option("consumer.override.group.instance.id", _YES, "`kafka.group_instance_id`"),
    Option("consumer.override.client.rack", _YES, "`kafka.client_rack`"),
    Option("consumer.override.auto.offset.reset", _YES, "`kafka.start_from`: `none` is `fail`"),
    Option("consumer.override.isolation.level", _YES, "`kafka.isolation`; Connect's default `read_uncommitted` is written out"),
    Option("consumer.override.session.timeout.ms", _YES, "`kafka.session_timeout`"),
    Option("consumer.override.fetch.max.bytes", _YES, "`kafka.fetch_max_bytes`"),
    Option("consumer.override.max.partition.fetch.bytes", _YES, "`kafka.fetch_partition_max_bytes`"),
    Option("consumer.override.security.protocol", _YES, "`kafka.security.protocol`"),
    Option("consumer.override.sasl.mechanism", _YES, "`kafka.security.sasl_mechanism`"),
    Option("consumer.override.sasl.jaas.config", _YES, "`kafka.security.username`, `password` (OAUTHBEARER: `oauth_client_*`, `oauth_scope`), secrets as `${NAME}`"),
    Option("consumer.override.sasl.oauthbearer.token.endpoint.url", _YES, "`kafka.security.oauth_token_endpoint`"),
    Option("consumer.override.sasl.client.callback.handler.class", _NEEDLESS, "AWS_MSK_IAM and OAUTHBEARER are built in"),
    Option("consumer.override.sasl.login.callback.handler.class", _NEEDLESS, "AWS_MSK_IAM and OAUTHBEARER are built in"),
    Option("consumer.override.ssl.truststore.location", _YES, "`kafka.security.ca_file`, of type PEM; a JKS or PKCS12 store must be exported"),
    Option("consumer.override.ssl.truststore.type", _YES, "tells whether the store is PEM"),
    Option("consumer.override.ssl.keystore.location", _YES, "`kafka.security.cert_file` and `key_file`, of type PEM"),
    Option("consumer.override.ssl.keystore.type", _YES, "tells whether the store is PEM"),
    Option("consumer.override.ssl.key.password", _YES, "`kafka.security.key_password` as `${NAME}`"),
    Option("consumer.override.max.poll.records", _NO, "the consumer is bounded by bytes: `kafka.fetch_buffer`"),
    Option("consumer.override.max.poll.interval.ms", _NO, "polling never waits for S3"),
    Option("consumer.override.partition.assignment.strategy", _NO, "the assignors are `range` and `roundrobin`"),
    Option("consumer.override.*", _NO, "this consumer has no such setting"),
)  # fmt: skip

_PLACES = (
    Option("topics.dir", _YES, "`layout.prefix`"),
    Option("directory.delim", _NO, "directories end with `/`", ("/",)),
    Option("file.delim", _NO, "file names use `+`", ("+",)),
    Option("filename.offset.zero.pad.width", _NO, "offsets have 10 digits", ("10",)),
    Option("partitioner.class", _YES, "`layout.partition`: Default, Field, TimeBased, Hourly, Daily; the known FieldAndTimeBased of third parties; another class goes to `layout.partitioner`"),
    Option("partition.field.name", _YES, "`name={value.name}` for each; nested names by dots; null is `null` as in Connect; values are escaped as Hive does"),
    Option("partition.duration.ms", _YES, "`layout.time_bucket`, where it divides a day or is whole days"),
    Option("path.format", _YES, "Joda's letters to `{time:...}`"),
    Option("locale", _YES, "only for English names of days and months; without effect on numbers"),
    Option("timezone", _YES, "`layout.timezone`"),
    Option("timestamp.extractor", _YES, "`layout.time`: Wallclock (default), Record, RecordField"),
    Option("timestamp.field", _YES, "`layout.time: value.<field>`; text without a zone is read in `layout.timezone`"),
    Option("partition.field.format.path", _YES, "of FieldAndTimeBasedPartitioner: whether directories are `name=value`"),
    Option("s3.schema.partition.affix.type", _NO, "templates cannot name a schema", ("NONE",)),
    Option("partitioner.max.open.files", _YES, "`rotate.max_open`"),
    Option("format.class", _YES, "`format.type`: Json, ByteArray, Avro, Parquet; `format.extension` is Connect's"),
    Option("format.bytearray.extension", _YES, "`format.extension`"),
    Option("format.bytearray.separator", _YES, "`format.separator`"),
    Option("s3.compression.type", _YES, "`format.compression`"),
    Option("s3.compression.level", _YES, "`format.compression_level`"),
    Option("avro.codec", _YES, "`format.compression`: `null`, `deflate`, `snappy`"),
    Option("parquet.codec", _YES, "`format.compression`: `none`, `snappy` (default), `gzip`, `zstd`"),
    Option("json.decimal.format", _NO, "decimals are numbers with all their digits", ("NUMERIC", "numeric")),
    Option("schema.compatibility", _NO, "each schema has its own objects; nothing is projected", ("NONE", "none")),
    Option("schemas.cache.config", _NEEDLESS, "schemas are kept"),
    Option("schemas.cache.size", _NEEDLESS, "schemas are kept"),
    Option("enhanced.avro.schema.support", _NEEDLESS, "the writer's schema is kept as it is", ("true",)),
    Option("connect.meta.data", _NEEDLESS, "the writer's schema is kept as it is"),
    Option("allow.optional.map.keys", _NEEDLESS, "the writer's schema is kept as it is"),
    Option("flush.size", _YES, "`rotate.records`; both count a topic partition's records over all its S3 partitions"),
    Option("rotate.interval.ms", _YES, "`rotate.interval`; with the Wallclock extractor `rotate.max_age`"),
    Option("rotate.schedule.interval.ms", _YES, "`rotate.schedule`"),
    Option("rotate.file.on.partition.change", _NO, "late records never end a cut by themselves", _FALSE),
)  # fmt: skip

_STORE = (
    Option("storage.class", _NEEDLESS, "S3 is the only one"),
    Option("store.url", _YES, "`s3.endpoint_url`"),
    Option("s3.bucket.name", _YES, "`s3.bucket`"),
    Option("s3.region", _YES, "`s3.region`; Connect's default `us-west-2` is written out"),
    Option("s3.part.size", _YES, "`s3.part_size`; it costs memory for uploads in flight only"),
    Option("s3.path.style.access.enabled", _YES, "`s3.addressing_style`: `path` (Connect's default) or `virtual`"),
    Option("s3.acl.canned", _YES, "`s3.acl`"),
    Option("s3.ssea.name", _YES, "`s3.sse`: `AES256`, `aws:kms`"),
    Option("s3.sse.kms.key.id", _YES, "`s3.sse_kms_key_id`"),
    Option("s3.sse.customer.key", _NO, "keys of the customer (SSE-C) are not supported"),
    Option("s3.object.tagging", _YES, "offsets and counts stand in the object's metadata (`spoolsink-first-offset`, ...)"),
    Option("s3.object.tagging.key.value.pairs", _YES, "`s3.tags`, the first ten"),
    Option("s3.object.behavior.on.tagging.error", _NO, "tags are written with the object, in one request"),
    Option("enable.conditional.writes", _YES, "`s3.conditional_writes`: always, where the store honours them"),
    Option("max.files.scan.limit", _NEEDLESS, "a key that is taken gets the `range` name"),
    Option("aws.access.key.id", _YES, "`s3.access_key_id` as `${AWS_ACCESS_KEY_ID}`"),
    Option("aws.secret.access.key", _YES, "`s3.secret_access_key` as `${AWS_SECRET_ACCESS_KEY}`"),
    Option("s3.credentials.provider.class", _YES, "the default chain, or AwsAssumeRoleCredentialsProvider"),
    Option("s3.credentials.provider.sts.role.arn", _YES, "`s3.assume_role.role_arn`"),
    Option("s3.credentials.provider.sts.role.external.id", _YES, "`s3.assume_role.external_id`"),
    Option("s3.credentials.provider.sts.role.session.name", _YES, "`s3.assume_role.session_name`"),
    Option("s3.credentials.provider.*", _NO, "a setting of the provider's class"),
    Option("s3.proxy.url", _YES, "`s3.proxy_url`; one that looks like a store (LocalStack's port 4566, ...) is `s3.endpoint_url`"),
    Option("s3.proxy.user", _YES, "in `s3.proxy_url`"),
    Option("s3.proxy.password", _YES, "in `s3.proxy_url`, as `${S3_PROXY_PASSWORD}`"),
    Option("s3.wan.mode", _NO, "no transfer acceleration", _FALSE),
    Option("s3.http.send.expect.continue", _NO, "the client decides"),
    Option("s3.send.digest", _NEEDLESS, "every part carries a CRC32 (`s3.checksum`)", _FALSE),
    Option("s3.part.retries", _NO, "S3 is tried until it works; the sink holds meanwhile"),
    Option("s3.retry.backoff.ms", _NO, "back-off is built in"),
    Option("retry.backoff.ms", _NO, "back-off is built in"),
    Option("s3.elastic.buffer.enable", _NEEDLESS, "open objects have no buffer in memory"),
    Option("s3.elastic.buffer.init.capacity", _NEEDLESS, "open objects have no buffer in memory"),
    Option("max.write.duration.ms", _NEEDLESS, "polling never waits for S3"),
    Option("shutdown.timeout.ms", _NEEDLESS, "without effect in Connect; here `shutdown_grace`"),
)  # fmt: skip

OPTIONS = (*_RECORDS, *_CONSUMER, *_PLACES, *_STORE)
_EXACT = {option.name: option for option in OPTIONS}
_FAMILIES = [option for option in OPTIONS if option.name.endswith("*")]


def option_of(name: str) -> Option | None:
    """The table's row; of two families (`a.*`, `a.b.*`) the longer."""
    families = [f for f in _FAMILIES if name.startswith(f.name[:-1])]
    return _EXACT.get(name) or max(families, key=lambda f: len(f.name), default=None)


def as_markdown() -> str:
    """`docs/connect-options.md`."""
    rows = "\n".join(_rows(OPTIONS))
    return f"""\
# Options of the Kafka Connect S3 sink

`spoolsink import-connect CONNECTOR.json` prints the YAML for a connector. What cannot be carried
over is a comment in the YAML and a line on standard error. Secrets are never copied: they become
`${{NAME}}` references. An option that is not in this table is reported as unknown.

| option | carried over | how, or why not |
| --- | --- | --- |
{rows}
"""


def _rows(options: Iterable[Option]) -> Iterable[str]:
    for option in options:
        how = option.how.replace("|", "\\|")
        yield f"| `{option.name}` | {option.fate.value} | {how} |"
