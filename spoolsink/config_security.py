"""What `kafka.security` cannot mean, and files of it that cannot be used; the TLS context of both.

The context is made at start to find what is wrong, and again for each membership: a certificate
that was renewed on disk is then the one that is shown.
"""

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from spoolsink.config_model import Security
from spoolsink.config_source import KeyPath

Problem = tuple[KeyPath, str]

OWN_TLS = ("SSL", "SASL_SSL")
_BY_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_OAUTH_KEYS = ("oauth_token_endpoint", "oauth_client_id", "oauth_client_secret")
_OAUTH_OPTIONAL = ("oauth_scope",)

_LIBRARIES = {
    "GSSAPI": ("gssapi", "needs the Python library gssapi, and Kerberos's own"),
    "AWS_MSK_IAM": ("aws_msk_iam_sasl_signer", "needs the extra spoolsink[msk]"),
}


def security_rules(security: Security) -> Iterator[Problem]:
    """Contradictions between keys, missing libraries, unusable files."""
    for rule in (_mechanism, _login, _tokens, _tls_keys, _files):
        for key, text in rule(security):
            yield ("kafka", "security", key), text


def tls_context(security: Security) -> ssl.SSLContext:
    """For the brokers; raises OSError (of which ssl.SSLError is one) for an unusable file."""
    context = ssl.create_default_context(cafile=security.ca_file)
    _show_certificate(context, security)
    return context


def endpoint_context(security: Security) -> ssl.SSLContext:
    """For the token endpoint, which may be public: `ca_file` and the system's authorities."""
    context = ssl.create_default_context()
    if security.ca_file is not None:
        context.load_verify_locations(security.ca_file)
    return context


def _show_certificate(context: ssl.SSLContext, security: Security) -> None:
    if security.cert_file is None:
        return
    secret = security.key_password
    password = "" if secret is None else secret.get_secret_value()
    # Always a password, be it empty: without one OpenSSL would ask for it on the terminal.
    context.load_cert_chain(security.cert_file, security.key_file, password=lambda: password)


def _mechanism(security: Security) -> Iterator[tuple[str, str]]:
    mechanism = security.sasl_mechanism
    if not security.protocol.startswith("SASL_"):
        if mechanism is not None:
            yield "sasl_mechanism", "only used with protocol: SASL_PLAINTEXT | SASL_SSL"
        return
    if mechanism is None:
        yield "sasl_mechanism", f"required with protocol: {security.protocol}"
    elif mechanism in _LIBRARIES:
        library, text = _LIBRARIES[mechanism]
        if not _has(library):
            yield "sasl_mechanism", f"{mechanism} {text}"
    if mechanism == "AWS_MSK_IAM" and security.protocol != "SASL_SSL":
        yield "protocol", "AWS_MSK_IAM is only offered with SASL_SSL"


def _has(library: str) -> bool:
    try:
        import_module(library)
    except ImportError:
        return False
    return True


def _login(security: Security) -> Iterator[tuple[str, str]]:
    for key in ("username", "password"):
        is_there = getattr(security, key) is not None
        if security.sasl_mechanism in _BY_PASSWORD and not is_there:
            yield key, f"required with sasl_mechanism: {security.sasl_mechanism}"
        elif security.sasl_mechanism not in _BY_PASSWORD and is_there:
            yield key, f"only used with sasl_mechanism: {' | '.join(_BY_PASSWORD)}"


def _tokens(security: Security) -> Iterator[tuple[str, str]]:
    is_used = security.sasl_mechanism == "OAUTHBEARER"
    for key in (*_OAUTH_KEYS, *_OAUTH_OPTIONAL):
        is_there = getattr(security, key) is not None
        if is_used and not is_there and key in _OAUTH_KEYS:
            yield key, "required with sasl_mechanism: OAUTHBEARER"
        elif is_there and not is_used:
            yield key, "only used with sasl_mechanism: OAUTHBEARER"
    endpoint = security.oauth_token_endpoint
    if is_used and endpoint is not None and not _is_url(endpoint):
        yield "oauth_token_endpoint", f"found '{endpoint}'; allowed: a URL of http or https"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _tls_keys(security: Security) -> Iterator[tuple[str, str]]:
    is_tls = security.protocol in OWN_TLS
    has_endpoint = security.sasl_mechanism == "OAUTHBEARER"
    if security.ca_file is not None and not is_tls and not has_endpoint:
        yield "ca_file", f"only used with protocol: {' | '.join(OWN_TLS)}"
    if security.cert_file is not None and not is_tls:
        yield "cert_file", f"only used with protocol: {' | '.join(OWN_TLS)}"
    for key in ("key_file", "key_password"):
        if getattr(security, key) is not None and security.cert_file is None:
            yield key, "only used with cert_file"


def _files(security: Security) -> Iterator[tuple[str, str]]:
    readable: dict[str, bytes] = {}
    for key in ("ca_file", "cert_file", "key_file"):
        name = getattr(security, key)
        if name is None:
            continue
        try:
            readable[key] = Path(name).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            yield key, f"cannot read {name}: {reason}"
    if "ca_file" in readable:
        load = partial(ssl.create_default_context, cafile=security.ca_file)
        yield from _tried("ca_file", "no certificate of an authority", load)
    yield from _pair(security, readable)


def _pair(security: Security, readable: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """The client's certificate with its key, which may stand in one file."""
    holder = "cert_file" if security.key_file is None else "key_file"
    if "cert_file" not in readable or holder not in readable:
        return
    if b"ENCRYPTED" in readable[holder] and security.key_password is None:
        yield holder, "the key is encrypted: key_password is required"
        return
    context = ssl.create_default_context()
    what = "no certificate with its key"
    if security.key_password is not None:
        what += " that key_password opens"
    yield from _tried(holder, what, lambda: _show_certificate(context, security))


def _tried(key: str, what: str, load: Callable[[], object]) -> Iterator[tuple[str, str]]:
    try:
        load()
    except (ssl.SSLError, ValueError) as error:  # the latter for a password that is too long
        told = error.reason if isinstance(error, ssl.SSLError) else str(error)
        reason = (told or "not readable as PEM").replace("_", " ").lower()
        yield key, f"{what} ({reason})"
