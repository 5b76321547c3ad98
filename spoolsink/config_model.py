"""The sections of the configuration file with their defaults: what `docs` and users see.

Attribute names are the file's keys. Durations are seconds, sizes are bytes.
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
    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    key_password: Secret | None = None
    sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM"]
        | None
    ) = None
    username: Text | None = None
    password: Secret | None = None
    oauth_token_endpoint: Text | None = None
    oauth_client_id: Text | None = None
    oauth_client_secret: Secret | None = None
    oauth_scope: Text | None = None


class Kafka(Section):
    """`kafka`."""

    bootstrap_servers: Words
    topics: Words | None = None
    topics_pattern: Text | None = None
    group_id: Text | None = None
    group_instance_id: Text | None = None
    client_rack: Text | None = None
    start_from: Literal["earliest", "latest", "fail"] | None = None
    on_offset_lost: Literal["stop", "continue"] = "stop"
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    session_timeout: Duration = 30.0
    fetch_max_bytes: Size = 16 * MIB
    fetch_partition_max_bytes: Size = MIB
    fetch_buffer: Size = 64 * MIB
    batch_max_bytes: Size = 64 * MIB
    security: Security = Security()


class SchemaRegistry(Section):
    """`records.schema_registry`."""

    url: Text | None = None
    username: Text | None = None
    password: Secret | None = None
    token: Secret | None = None
    ca_file: Text | None = None


class DeadLetter(Section):
    """`records.dead_letter`."""

    topic: Text | None = None
    prefix: Text | None = None


class Records(Section):
    """`records`."""

    key: Text = "string"
    value: Text = "json"
    key_options: dict[str, object] = Field(default_factory=dict)
    value_options: dict[str, object] = Field(default_factory=dict)
    schema_registry: SchemaRegistry = SchemaRegistry()
    form: Literal["value", "full"] = "value"
    on_error: Literal["stop", "skip", "dead_letter"] = "stop"
    on_null_value: Literal["write", "skip", "stop"] = "write"
    dead_letter: DeadLetter = DeadLetter()
    max_errors_in_a_row: Count | None = None


class LayoutSection(Section):
    """`layout`."""

    prefix: Text = "topics"
    topic_directory: bool = True
    partition: Text = "partition={partition}"
    timezone: Text = "UTC"
    partitioner: Text | None = None
    options: dict[str, object] = Field(default_factory=dict)
    time: Text = "record"
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    time_bucket: Duration | None = None
    missing: Literal["default", "error"] = "default"
    missing_value: Word = "__HIVE_DEFAULT_PARTITION__"
    file_name: Literal["range", "connect"] = "range"


class ColumnSection(Section):
    """One item of `format.columns`."""

    name: Text
    type: Text
    path: Text


class FormatSection(Section):
    """`format`."""

    type: Literal["jsonl", "text", "bytes", "csv", "avro", "parquet"] = "jsonl"
    compression: Literal["none", "gzip", "zstd", "deflate", "snappy"] = "none"
    compression_level: Annotated[int, count_between(0, 22)] | None = None
    separator: str = "\n"
    extension: Text | None = None
    header: bool = False
    columns: Annotated[tuple[ColumnSection, ...], BeforeValidator(as_tuple)] | None = None


class Rotate(Section):
    """`rotate`."""

    records: Count | None = None
    bytes: Size | None = GIB
    interval: Duration | None = None
    schedule: Duration | None = None
    max_age: Duration | None = 600.0
    object_bytes: Size | None = 256 * MIB
    object_records: Count | None = None
    max_open: Count | None = 10_000


class SpoolSection(Section):
    """`spool`."""

    directory: Word = "./spool"
    mode: Literal["disk", "memory"] = "disk"
    max_bytes: Size = 10 * GIB
    min_free_bytes: SizeOrZero = GIB
    pause_at: Fraction = 0.9
    resume_at: Fraction = 0.7
    max_open: Count = 50_000
    write_buffer: Size = 32 * MIB
    compression: Literal["none", "zstd"] = "none"


class AssumeRole(Section):
    """`s3.assume_role`."""

    role_arn: Text | None = None
    external_id: Text | None = None
    session_name: Text = "spoolsink"
    duration: Duration = 3600.0


class S3(Section):
    """`s3`."""

    bucket: Word
    region: Text | None = None
    endpoint_url: Text | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    access_key_id: Text | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: Text | None = None
    assume_role: AssumeRole = AssumeRole()
    part_size: Size = 8 * MIB
    uploads: Annotated[int, count_between(1, 256)] = 4
    request_timeout: Duration = 60.0
    conditional_writes: Literal["auto", "require", "off"] = "auto"
    storage_class: Text | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: Text | None = None
    acl: Text | None = None
    tags: dict[str, Text] = Field(default_factory=dict)
    metadata: dict[str, Text] = Field(default_factory=dict)
    checksum: Literal["crc32", "none"] = "crc32"
    proxy_url: Secret | None = None
    ca_file: Text | None = None
    abort_uploads_after: Duration = 86_400.0


class Admin(Section):
    """`admin`."""

    listen: Text = "127.0.0.1:8083"
    token: Secret | None = None


class Config(Section):
    """The whole file."""

    name: Annotated[Text, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    kafka: Kafka
    records: Records = Records()
    layout: LayoutSection = LayoutSection()
    format: FormatSection = FormatSection()
    rotate: Rotate = Rotate()
    spool: SpoolSection = SpoolSection()
    s3: S3
    shutdown_grace: Duration = 30.0
    admin: Admin = Admin()

    @property
    def group_id(self) -> str:
        """The consumer group: `kafka.group_id`, else `spoolsink-<name>`."""
        return self.kafka.group_id or f"spoolsink-{self.name}"
