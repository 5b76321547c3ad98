"""The sections of the configuration file with their defaults: what `docs` and users see.

Attribute names are the file's keys. Durations are seconds, sizes are bytes. The text below each key
is its meaning in docs/configuration.md (`make reference`).
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from spoolsink.config_types import (
    Count,
    Duration,
    Fraction,
    Secret,
    Section,
    Size,
    SizeOrZero,
    Text,
    Word,
    Words,
    as_tuple,
    count_between,
)

MIB = 1024 * 1024
GIB = 1024 * MIB


class Security(Section):
    """`kafka.security`."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How the brokers are spoken to."""
    ca_file: Text | None = None
    """PEM file of the authorities that brokers are checked against; null: the system's."""
    cert_file: Text | None = None
    """PEM file of the client's certificate."""
    key_file: Text | None = None
    """PEM file of its key; null: in `cert_file`."""
    key_password: Secret | None = None
    """Of the key."""
    sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM"]
        | None
    ) = None
    """How to log in; needed with a SASL protocol. `GSSAPI` needs the Python library gssapi (`pip
    install gssapi`, built with Debian's libkrb5-dev) and takes its ticket or keytab from the
    environment (`KRB5CCNAME`, `KRB5_CLIENT_KTNAME`); the broker's service is `kafka` at its name.
    `AWS_MSK_IAM` needs the extra `spoolsink[msk]` and the default AWS chain."""
    username: Text | None = None
    """For PLAIN and SCRAM."""
    password: Secret | None = None
    """For PLAIN and SCRAM."""
    oauth_token_endpoint: Text | None = None
    """OAUTHBEARER: where tokens come from, by the client credentials flow."""
    oauth_client_id: Text | None = None
    """OAUTHBEARER."""
    oauth_client_secret: Secret | None = None
    """OAUTHBEARER."""
    oauth_scope: Text | None = None
    """OAUTHBEARER: what is asked for."""


class Kafka(Section):
    """`kafka`."""

    bootstrap_servers: Words
    """`host:port` of one broker or more."""
    topics: Words | None = None
    """What is read; or `topics_pattern`, one of them."""
    topics_pattern: Text | None = None
    """Whole names, as Python's `re.fullmatch` takes it; new topics are found within 60 s."""
    group_id: Text | None = None
    """The consumer group; null: `spoolsink-<name>`."""
    group_instance_id: Text | None = None
    """Static membership, a name for each process (`${HOSTNAME}` in a StatefulSet): a stop does
    not leave the group, so a restart within `session_timeout` moves nothing."""
    client_rack: Text | None = None
    """Read from the nearest replica, where brokers offer it."""
    start_from: Literal["earliest", "latest", "fail"] | None = None
    """Where a topic partition begins that the group has no offset for. null: earliest, but
    hold when the group knows no partition of the topic and objects lie under its keys already.
    A partition added to a topic that the group knows begins at earliest, always."""
    on_offset_lost: Literal["stop", "continue"] = "stop"
    """The committed offset is below the log's start: stop the topic partition, or continue at the
    log's start, counted as lost."""
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """Whether records of open and aborted transactions are read."""
    session_timeout: Duration = 30.0
    """Without a heartbeat for so long the group gives the topic partitions to others."""
    fetch_max_bytes: Size = 16 * MIB
    """Of one answer of a broker."""
    fetch_partition_max_bytes: Size = MIB
    """Of one topic partition in one answer."""
    fetch_buffer: Size = 64 * MIB
    """Fetched and not yet appended, all topic partitions together."""
    batch_max_bytes: Size = 64 * MIB
    """A Kafka batch that decompresses to more is refused: with `records.on_error: skip` it is
    passed by and its records are counted, else its topic partition stops."""
    security: Security = Security()
    """Log-in and TLS."""


class SchemaRegistry(Section):
    """`records.schema_registry`."""

    url: Text | None = None
    """Address of a registry with Confluent's API; null: none is asked."""
    username: Text | None = None
    """Basic authentication."""
    password: Secret | None = None
    """Basic authentication."""
    token: Secret | None = None
    """Bearer token, in place of a user."""
    ca_file: Text | None = None
    """PEM file of the authorities that the registry is checked against; null: the system's."""


class DeadLetter(Section):
    """`records.dead_letter`."""

    topic: Text | None = None
    """Bad records go there with Kafka Connect's error headers, at least once."""
    prefix: Text | None = None
    """Or become objects below this prefix, exactly once."""


class Records(Section):
    """`records`."""

    key: Text = "string"
    """What a key's bytes are: `bytes`, `string`, `json`, `avro`, `protobuf`, `cbor`, `msgpack` or
    `package.module:Class`."""
    value: Text = "json"
    """What a value's bytes are, of the same list."""
    key_options: dict[str, object] = Field(default_factory=dict)
    """Of the converter: avro `schema_file`, protobuf `descriptor_file` and `message`, json
    `schemas_enable`; a class has its own."""
    value_options: dict[str, object] = Field(default_factory=dict)
    """Likewise."""
    schema_registry: SchemaRegistry = SchemaRegistry()
    """Where schemas of keys and values are found that name one."""
    form: Literal["value", "full"] = "value"
    """The value alone, or `topic`, `partition`, `offset`, `timestamp`, `key`, `headers` and `value`
    (what `restore` needs)."""
    on_error: Literal["stop", "skip", "dead_letter"] = "stop"
    """A record that cannot be converted, placed or encoded: stop its topic partition before it,
    pass it by (counted), or send it to `dead_letter`."""
    on_null_value: Literal["write", "skip", "stop"] = "write"
    """A record without a value (a tombstone): write a null, pass it by, or stop."""
    dead_letter: DeadLetter = DeadLetter()
    """Where bad records go; one of its keys with `on_error: dead_letter`."""
    max_errors_in_a_row: Count | None = None
    """So many bad records without a good one between them stop the topic partition."""


class LayoutSection(Section):
    """`layout`."""

    prefix: Text = "topics"
    """First part of every key; `''` for none."""
    topic_directory: bool = True
    """Whether the topic's name is the next part."""
    partition: Text = "partition={partition}"
    """Template of the S3 partition: `{topic}`, `{partition}`, `{key}`, `{key.a}`, `{value.a.b}`,
    `{header.name}`, `{time:%Y-%m-%d}` in any mix; `/` makes directories."""
    timezone: Text = "UTC"
    """Of times in keys and of `rotate.schedule`: an IANA name, or an offset such as `+09:00`."""
    partitioner: Text | None = None
    """`package.module:Class` that gives the S3 partition in place of the template."""
    options: dict[str, object] = Field(default_factory=dict)
    """Of that class."""
    time: Text = "record"
    """Where `{time:...}` comes from: `record`, `wallclock`, `value.PATH` or `header.NAME`."""
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Of numbers (auto: ms); other texts are ISO 8601."""
    time_bucket: Duration | None = None
    """Round `{time:...}` down to it: a divisor of a day, or whole days."""
    missing: Literal["default", "error"] = "default"
    """A field of the template is absent or null: write `missing_value`, or a bad record."""
    missing_value: Word = "__HIVE_DEFAULT_PARTITION__"
    """What stands in the key then."""
    file_name: Literal["range", "connect"] = "range"
    """`range`: first and last offset; `connect`: the first alone, as Confluent's connector names
    them."""


class ColumnSection(Section):
    """One item of `format.columns`."""

    name: Text
    """In the file."""
    type: Text
    """`string`, `int`, `long`, `float`, `double`, `boolean`, `bytes`, `date`, `timestamp` or
    `decimal(p,s)`."""
    path: Text
    """`value.a.b`, `key`, `key.a`, `header.x`, `topic`, `partition`, `offset` or `timestamp`."""


class FormatSection(Section):
    """`format`."""

    type: Literal["jsonl", "text", "bytes", "csv", "avro", "parquet"] = "jsonl"
    """Of the objects."""
    compression: Literal["none", "gzip", "zstd", "deflate", "snappy"] = "none"
    """jsonl, text, bytes, csv: `none`, `gzip`, `zstd`; avro: `none`, `deflate`, `snappy`, `zstd`;
    parquet: `none`, `snappy`, `gzip`, `zstd`."""
    compression_level: Annotated[int, count_between(0, 22)] | None = None
    """null: the codec's own."""
    separator: str = "\n"
    """bytes: written after every record."""
    extension: Text | None = None
    """Of the file names, with its dot; null: by type and compression."""
    header: bool = False
    """csv: a first line with the names of the columns."""
    columns: Annotated[tuple[ColumnSection, ...], BeforeValidator(as_tuple)] | None = None
    """csv; avro and parquet of records without a schema; `ddl`."""


class Rotate(Section):
    """`rotate`."""

    records: Count | None = None
    """Records of the topic partition (Connect: `flush.size`)."""
    bytes: Size | None = GIB
    """Encoded bytes of the topic partition, before compression."""
    interval: Duration | None = None
    """Span of the time that `layout.time` names (Connect: `rotate.interval.ms`)."""
    schedule: Duration | None = None
    """Grid on the wall clock from local midnight (Connect: `rotate.schedule.interval.ms`)."""
    max_age: Duration | None = 600.0
    """Elapsed since the cut's first record came; needs no new record."""
    object_bytes: Size | None = 256 * MIB
    """Splits one S3 partition within a cut; full splits are uploaded at once."""
    object_records: Count | None = None
    """Likewise, by records."""
    max_open: Count | None = 10_000
    """Open segments of the topic partition: the cut ends before a record that needs one more."""


class SpoolSection(Section):
    """`spool`."""

    directory: Word = "./spool"
    """Of segments and ledger; locked, one process owns it."""
    mode: Literal["disk", "memory"] = "disk"
    """`memory` keeps segments in RAM, for comparison."""
    max_bytes: Size = 10 * GIB
    """Disk space that the directory may take; at least twice `write_buffer`."""
    min_free_bytes: SizeOrZero = GIB
    """What the file system must have left, else the sink holds."""
    pause_at: Fraction = 0.9
    """Part of `max_bytes` from which on nothing is polled."""
    resume_at: Fraction = 0.7
    """Part of `max_bytes` below which polling goes on."""
    max_open: Count = 50_000
    """Open segments of the process: the cut with the most is ended."""
    write_buffer: Size = 32 * MIB
    """Of all open segments together, in memory."""
    compression: Literal["none", "zstd"] = "none"
    """Of segments on disk."""


class AssumeRole(Section):
    """`s3.assume_role`."""

    role_arn: Text | None = None
    """Role to take on; null: none."""
    external_id: Text | None = None
    """What the role's owner asks for."""
    session_name: Text = "spoolsink"
    """As it appears in the store's logs."""
    duration: Duration = 3600.0
    """Of one session; it is renewed."""


class S3(Section):
    """`s3`."""

    bucket: Word
    """Where objects go. It is never made."""
    region: Text | None = None
    """null: AWS_REGION, AWS_DEFAULT_REGION, the profile."""
    endpoint_url: Text | None = None
    """Of another store with S3's API."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """The bucket in the path or in the host's name."""
    access_key_id: Text | None = None
    """null: the default AWS chain (environment, profile, web identity, instance role)."""
    secret_access_key: Secret | None = None
    """Belongs to it."""
    session_token: Secret | None = None
    """Belongs to temporary keys."""
    profile: Text | None = None
    """Of AWS's own files."""
    assume_role: AssumeRole = AssumeRole()
    """A role to take on with these credentials."""
    part_size: Size = 8 * MIB
    """5MiB to 5GiB. A body up to it is one PutObject, else parts of exactly this size; grown
    where an object would need more than 10,000."""
    uploads: Annotated[int, count_between(1, 256)] = 4
    """Writing requests in flight."""
    request_timeout: Duration = 60.0
    """Of any one call, whatever the server does."""
    conditional_writes: Literal["auto", "require", "off"] = "auto"
    """`auto`: probed at start, and used where honoured; `require`: hold where they are not;
    `off`: look before each write."""
    storage_class: Text | None = None
    """S3's name of it; null: the bucket's."""
    sse: Literal["AES256", "aws:kms"] | None = None
    """Encryption at rest; null: the bucket's."""
    sse_kms_key_id: Text | None = None
    """With `aws:kms`."""
    acl: Text | None = None
    """Canned."""
    tags: dict[str, Text] = Field(default_factory=dict)
    """Of every object."""
    metadata: dict[str, Text] = Field(default_factory=dict)
    """Of every object, beside the sink's own."""
    checksum: Literal["crc32", "none"] = "crc32"
    """Sent with every body."""
    proxy_url: Secret | None = None
    """Of calls to S3 and STS; it may hold a password."""
    ca_file: Text | None = None
    """PEM file of the authorities that S3 and STS are checked against; null: the system's."""
    abort_uploads_after: Duration = 86_400.0
    """Unfinished multipart uploads older than this, under keys of topic partitions that this
    process was assigned, are aborted once after start."""


class Admin(Section):
    """`admin`."""

    listen: Text = "127.0.0.1:8083"
    """`host:port` of the status page, metrics and REST; port 0 picks one."""
    token: Secret | None = None
    """Bearer token of calls that change state; needed when not on loopback."""


class Config(Section):
    """The whole file."""

    name: Annotated[Text, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    """Of the sink: in the group's name, on the status page, in every object's metadata."""
    kafka: Kafka
    """Where records come from."""
    records: Records = Records()
    """What their bytes are, and what is done with bad ones."""
    layout: LayoutSection = LayoutSection()
    """Where they go."""
    format: FormatSection = FormatSection()
    """How they are written."""
    rotate: Rotate = Rotate()
    """What ends a cut of a topic partition; the first that fires. null switches one off."""
    spool: SpoolSection = SpoolSection()
    """What waits on disk."""
    s3: S3
    """The store."""
    shutdown_grace: Duration = 30.0
    """After SIGTERM: finish sealed work for so long, then leave the rest to Kafka."""
    admin: Admin = Admin()
    """The port for people, monitoring and scripts."""

    @property
    def group_id(self) -> str:
        """The consumer group: `kafka.group_id`, else `spoolsink-<name>`."""
        return self.kafka.group_id or f"spoolsink-{self.name}"
