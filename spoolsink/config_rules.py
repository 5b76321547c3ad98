"""What no single key can tell: contradictions between keys, and texts that cannot be read."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from ipaddress import ip_address
from urllib.parse import urlsplit

from spoolsink.config_format import format_rules
from spoolsink.config_model import MIB, AssumeRole, Config, LayoutSection
from spoolsink.config_records import CLASS, TOPIC, TOPIC_ALLOWED, directory_problems, records_rules
from spoolsink.config_security import security_rules
from spoolsink.config_source import KeyPath
from spoolsink.config_types import whole_name
from spoolsink.converters.options import near_miss
from spoolsink.layout_template import (
    Literal,
    TimeField,
    check_template,
    parse_path,
    parse_template,
)
from spoolsink.layout_time import zone_of

Problem = tuple[KeyPath, str]

_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::([0-9]{1,5}))?")
_MAX_PORT = 65_535
_PORT = re.compile(r"[0-9]{1,5}")
_METADATA_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_METADATA_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_OWN_METADATA = "spoolsink-"
_TIMES = ("record", "wallclock")
_OF_THE_HOST = ("localtime", "posixrules")
_DAY_MS = 86_400_000
_INEXACT_MS = 1e-6
_MAX_PART_BYTES = 5 * 1024 * MIB
_MAX_TAGS = 10


def contradictions(config: Config) -> Iterator[Problem]:
    """Every pair of keys that cannot stand together, and every text that cannot be read."""
    for rule in (_kafka, records_rules, _layout, format_rules, _rotate, _spool, _s3, _admin):
        yield from rule(config)


def _kafka(config: Config) -> Iterator[Problem]:
    kafka = config.kafka
    if (kafka.topics is None) == (kafka.topics_pattern is None):
        yield ("kafka",), "one of topics and topics_pattern is required, and only one"
    for server in kafka.bootstrap_servers:
        found = _SERVER.fullmatch(server)
        if found is None or not 0 < int(found[2] or 1) <= _MAX_PORT:
            yield ("kafka", "bootstrap_servers"), f"found '{server}'; allowed: host:port"
    for topic in kafka.topics or ():
        if not TOPIC.fullmatch(topic):
            yield ("kafka", "topics"), f"found '{topic}'; allowed: {TOPIC_ALLOWED}"
    if kafka.topics_pattern is not None:
        try:
            whole_name(kafka.topics_pattern)
        except re.error as error:
            yield ("kafka", "topics_pattern"), f"no regular expression: {error}"
    if kafka.session_timeout < 1:
        yield ("kafka", "session_timeout"), "allowed: 1s or more"
    if kafka.fetch_partition_max_bytes > kafka.fetch_max_bytes:
        yield ("kafka", "fetch_partition_max_bytes"), "larger than kafka.fetch_max_bytes"
    yield from security_rules(kafka.security)


def _layout(config: Config) -> Iterator[Problem]:
    layout = config.layout
    for problem in directory_problems(layout.prefix):
        yield ("layout", "prefix"), problem
    for problem in _template_problems(layout.partition):
        yield ("layout", "partition"), problem
    yield from _timezone(layout.timezone)
    yield from _layout_time(layout.time)
    for problem in directory_problems(layout.missing_value):
        yield ("layout", "missing_value"), problem
    if layout.missing == "error" and not _is_default(layout, "missing_value"):
        yield ("layout", "missing_value"), "only used with missing: default"
    if layout.time_bucket is not None and not _is_grid_of_days(layout.time_bucket):
        yield ("layout", "time_bucket"), "allowed: a divisor of a day, or whole days"
    yield from _partitioner(layout)
    if layout.file_name == "connect" and config.s3.conditional_writes == "off":
        yield ("layout", "file_name"), "connect needs s3.conditional_writes"


def _timezone(name: str) -> Iterator[Problem]:
    where = ("layout", "timezone")
    if name in _OF_THE_HOST:
        yield where, f"'{name}' is what each host says; allowed: an IANA name, or +09:00"
        return
    if name[:1] not in {"+", "-"} and name not in _zone_names():
        yield where, f"no time zone {name!r}{near_miss(name, _zone_names())}"
        return
    try:
        zone_of(name)
    except ValueError as error:
        yield where, str(error)


@cache
def _zone_names() -> frozenset[str]:
    """Of the package, which is the same everywhere: a host's own files know others besides."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


def _template_problems(template: str) -> list[str]:
    """Also directories that clients of S3 and file systems take for a way, not for a name."""
    problems = check_template(template)
    if not problems:
        shown = (
            part.text if isinstance(part, Literal | TimeField) else "{}"
            for part in parse_template(template)
        )
        problems = directory_problems("".join(shown))
    return problems


def _is_default(layout: LayoutSection, key: str) -> bool:
    return bool(getattr(layout, key) == LayoutSection.model_fields[key].default)


def _partitioner(layout: LayoutSection) -> Iterator[Problem]:
    name = layout.partitioner
    if name is None:
        if layout.options:
            yield ("layout", "options"), "only used with layout.partitioner"
        return
    if not CLASS.fullmatch(name):
        yield ("layout", "partitioner"), f"found '{name}'; allowed: package.module:Class"
    for key in ("partition", "time_bucket", "missing", "missing_value"):
        if not _is_default(layout, key):
            yield ("layout", key), "cannot be used with layout.partitioner"


def _is_grid_of_days(seconds: float) -> bool:
    # Times have milliseconds and nothing below; a fraction of a second is inexact as a float.
    step_ms = round(seconds * 1000)
    if step_ms < 1 or abs(step_ms - seconds * 1000) > _INEXACT_MS:
        return False
    return not (step_ms % _DAY_MS if step_ms > _DAY_MS else _DAY_MS % step_ms)


def _layout_time(time: str) -> Iterator[Problem]:
    if time in _TIMES or (time.startswith("header.") and time != "header."):
        return
    if not time.startswith("value."):
        allowed = "record | wallclock | value.PATH | header.NAME"
        yield ("layout", "time"), f"found '{time}'; allowed: {allowed}{near_miss(time, _TIMES)}"
        return
    try:
        parse_path(time.removeprefix("value."))
    except ValueError as error:
        yield ("layout", "time"), str(error)


def _rotate(config: Config) -> Iterator[Problem]:
    if config.rotate.interval is not None and config.layout.time == "wallclock":
        yield ("rotate", "interval"), "cannot be used with layout.time: wallclock (use max_age)"
    if config.rotate.schedule is not None and config.rotate.schedule < 1:
        # Looked at once a second at least.
        yield ("rotate", "schedule"), "allowed: 1s or more"


def _spool(config: Config) -> Iterator[Problem]:
    spool = config.spool
    if spool.directory.startswith("~"):
        # A directory of that name would be made below the present one.
        text = f"found '{spool.directory}'; '~' stands for no directory here: write ${{HOME}}"
        yield ("spool", "directory"), text
    if spool.resume_at >= spool.pause_at:
        yield ("spool", "resume_at"), f"found {spool.resume_at}; allowed: below spool.pause_at"
    if spool.max_bytes < 2 * spool.write_buffer:
        yield ("spool", "max_bytes"), "allowed: at least twice spool.write_buffer"
    if spool.mode == "memory" and spool.compression != "none":
        yield ("spool", "compression"), "cannot be used with spool.mode: memory"


def _s3(config: Config) -> Iterator[Problem]:
    s3 = config.s3
    if s3.endpoint_url is not None:
        yield from _endpoint(s3.endpoint_url)
    if not 5 * MIB <= s3.part_size <= _MAX_PART_BYTES:
        yield ("s3", "part_size"), "allowed: 5MiB to 5GiB"
    if (s3.access_key_id is None) != (s3.secret_access_key is None):
        yield ("s3",), "access_key_id and secret_access_key go together"
    if s3.session_token is not None and s3.access_key_id is None:
        yield ("s3", "session_token"), "only used with access_key_id"
    if s3.profile is not None and s3.access_key_id is not None:
        yield ("s3", "profile"), "cannot be used with access_key_id"
    if s3.sse_kms_key_id is not None and s3.sse != "aws:kms":
        yield ("s3", "sse_kms_key_id"), "only used with sse: aws:kms"
    if s3.proxy_url is not None and not _is_proxy(s3.proxy_url.get_secret_value()):
        # Not shown: it may hold a password.
        yield ("s3", "proxy_url"), "no address; allowed: http(s)://host:port, with or without user"
    yield from _metadata(s3.metadata)
    if len(s3.tags) > _MAX_TAGS:
        yield ("s3", "tags"), f"found {len(s3.tags)}; allowed: at most {_MAX_TAGS} (S3's own limit)"
    yield from _assume_role(s3.assume_role)


def _endpoint(url: str) -> Iterator[Problem]:
    where = ("s3", "endpoint_url")
    if "@" in url:
        # Not shown: it may be a password.
        yield where, "with a user in it; use access_key_id and secret_access_key"
    elif not url.startswith(("http://", "https://")):
        yield where, f"found '{url}'; allowed: a URL that begins with http:// or https://"
    elif not _has_host(url):
        yield where, f"found '{url}'; allowed: http(s)://host, with a port from 1 to {_MAX_PORT}"


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address, a port beyond all ports
        return False


def _is_proxy(url: str) -> bool:
    """Without a scheme it is one of HTTP."""
    return _has_host(url if "://" in url else f"http://{url}")


def _metadata(metadata: Mapping[str, str]) -> Iterator[Problem]:
    """They are headers, and headers that differ in case only are one."""
    names = [name.lower() for name in metadata]
    for name, value in metadata.items():
        where = ("s3", "metadata", name)
        if not _METADATA_NAME.fullmatch(name):
            yield where, "allowed as a name: letters, digits, '.', '_' and '-'"
        elif name.lower().startswith(_OWN_METADATA):
            yield where, f"names that begin with {_OWN_METADATA} are the sink's own"
        elif names.count(name.lower()) > 1:
            yield where, "there twice, but for its case"
        if not _METADATA_VALUE.fullmatch(value):
            yield where, "allowed: printable ASCII without blanks around it"


def _assume_role(role: AssumeRole) -> Iterator[Problem]:
    where = ("s3", "assume_role")
    if role.external_id is not None and role.role_arn is None:
        yield (*where, "external_id"), "only used with role_arn"
    # STS's own limits.
    if not 900 <= role.duration <= 43_200:  # noqa: PLR2004
        yield (*where, "duration"), "allowed: 15m to 12h"


def _admin(config: Config) -> Iterator[Problem]:
    host, colon, port = config.admin.listen.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        yield ("admin", "listen"), f"found '{config.admin.listen}'; allowed: host:port"
    elif config.admin.token is not None and not config.admin.token.get_secret_value():
        # Everybody knows this one: a variable of the environment that was left empty.
        yield ("admin", "token"), "may not be empty"
    elif config.admin.token is None and not _is_loopback(host.strip("[]")):
        yield ("admin", "token"), "required when admin.listen is not on loopback"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
