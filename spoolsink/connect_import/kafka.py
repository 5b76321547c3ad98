"""`kafka`: topics, the group, and what `consumer.override.` says of the consumer."""

import re

from spoolsink.connect_import.draft import Draft, duration, size
from spoolsink.connect_import.settings import Settings

_CONSUMER = "consumer.override."
_JAAS = re.compile(r"""([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;]+))""")
_PLAIN_WORDS = {
    "group.instance.id": "group_instance_id",
    "client.rack": "client_rack",
}
_FETCH_MAX = 16 * 1024 * 1024


def carry_kafka(settings: Settings, draft: Draft) -> None:
    """Wrong values end up in `settings.problems`."""
    _servers(settings, draft)
    _topics(settings, draft)
    group = settings.text(f"{_CONSUMER}group.id") or f"connect-{settings.name}"
    draft.set("kafka.group_id", group)
    if reset := settings.text(f"{_CONSUMER}auto.offset.reset"):
        draft.set("kafka.start_from", {"none": "fail"}.get(reset.lower(), reset.lower()))
    isolation = settings.text(f"{_CONSUMER}isolation.level")
    if isolation is None:
        text = "Connect's default; read_committed leaves out the records of aborted transactions"
        draft.note("kafka", "isolation", text)
    draft.set("kafka.isolation", isolation or "read_uncommitted")
    for option, key in _PLAIN_WORDS.items():
        draft.set_known(f"kafka.{key}", settings.text(_CONSUMER + option))
    _limits(settings, draft)
    _security(settings, draft)


def _servers(settings: Settings, draft: Draft) -> None:
    servers = settings.words(f"{_CONSUMER}bootstrap.servers")
    if not servers:
        text = "the worker knew them: set KAFKA_BOOTSTRAP_SERVERS, or write them here"
        draft.note("kafka", "bootstrap_servers", text)
        servers = ["${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}"]
    draft.set("kafka.bootstrap_servers", servers[0] if len(servers) == 1 else servers)


def _topics(settings: Settings, draft: Draft) -> None:
    topics, pattern = settings.words("topics"), settings.text("topics.regex")
    if topics:
        draft.set("kafka.topics", topics)
        if pattern:
            draft.note("kafka", "topics.regex", "not carried over: topics are named beside it")
    elif pattern:
        draft.set("kafka.topics_pattern", pattern)
    else:
        settings.problems.append("topics: required (or topics.regex)")


def _limits(settings: Settings, draft: Draft) -> None:
    timeout_ms = settings.number(f"{_CONSUMER}session.timeout.ms")
    if timeout_ms is not None:
        draft.set("kafka.session_timeout", duration(timeout_ms))
    fetch = settings.number(f"{_CONSUMER}fetch.max.bytes")
    each = settings.number(f"{_CONSUMER}max.partition.fetch.bytes")
    if each is not None and each > (fetch or _FETCH_MAX):
        # Kafka lets the smaller one win; here that is refused.
        fetch = each
    if fetch is not None:
        draft.set("kafka.fetch_max_bytes", size(fetch))
    if each is not None:
        draft.set("kafka.fetch_partition_max_bytes", size(each))


def _security(settings: Settings, draft: Draft) -> None:
    protocol = settings.text(f"{_CONSUMER}security.protocol")
    mechanism = settings.text(f"{_CONSUMER}sasl.mechanism")
    endpoint = settings.text(f"{_CONSUMER}sasl.oauthbearer.token.endpoint.url")
    draft.set_known("kafka.security.protocol", protocol)
    draft.set_known("kafka.security.sasl_mechanism", mechanism)
    draft.set_known("kafka.security.oauth_token_endpoint", endpoint)
    jaas = settings.text(f"{_CONSUMER}sasl.jaas.config")
    if jaas is not None:
        _jaas(jaas, mechanism, draft)
    _stores(settings, draft)


def _jaas(text: str, mechanism: str | None, draft: Draft) -> None:
    option = f"{_CONSUMER}sasl.jaas.config"
    found = {m[1]: m[2] or m[3] or m[4] or "" for m in _JAAS.finditer(text)}
    name, password, password_env = ("username", "password", "KAFKA_PASSWORD")
    draft.set_known("kafka.security.oauth_scope", found.get("scope"))
    if mechanism == "OAUTHBEARER":
        name, password, password_env = ("clientId", "clientSecret", "KAFKA_OAUTH_CLIENT_SECRET")
    keys = {"clientId": "oauth_client_id", "clientSecret": "oauth_client_secret"}
    draft.set_known(f"kafka.security.{keys.get(name, name)}", found.get(name))
    if password in found:
        key = f"kafka.security.{keys.get(password, password)}"
        draft.secret_value(key, found[password], option, password_env)
    elif mechanism not in {None, "AWS_MSK_IAM", "GSSAPI"}:
        draft.note("kafka", option, f"no {password} was found in it; to be written here")


def _stores(settings: Settings, draft: Draft) -> None:
    for store, keys in (("truststore", ("ca_file",)), ("keystore", ("cert_file", "key_file"))):
        option = f"{_CONSUMER}ssl.{store}.location"
        place, kind = settings.text(option), settings.text(f"{_CONSUMER}ssl.{store}.type")
        if place is None:
            continue
        if (kind or "JKS").upper() == "PEM" or place.endswith(".pem"):
            for key in keys:
                draft.set(f"kafka.security.{key}", place)
        else:
            named = " and ".join(keys)
            text = f"{place} is no PEM file; to be exported as PEM and named as {named}"
            draft.note("kafka", option, text)
    option = f"{_CONSUMER}ssl.key.password"
    draft.secret("kafka.security.key_password", settings, option, "KAFKA_KEY_PASSWORD")
