"""`kafka.security`: contradictions, missing libraries, and files that cannot be used."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from spoolsink.config_model import Security
from spoolsink.config_security import security_rules
from tests.servers.certificates import Authority
from tests.unit.bad_configurations import BASE
from tests.unit.test_config import load_text

OAUTH = {
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_endpoint": "https://login.example/token",
    "oauth_client_id": "me",
    "oauth_client_secret": "s",
}
LOGIN = {"username": "me", "password": "s"}
TLS_ONLY = "only used with protocol: SSL | SASL_SSL"
BY_PASSWORD = "only used with sasl_mechanism: PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512"


def problems_of(**security: str) -> list[tuple[str, str]]:
    found = security_rules(Security.model_validate(security))
    return [(str(where[-1]), text) for where, text in found]


@pytest.mark.parametrize(
    "security",
    [
        {},
        {"protocol": "SSL"},
        {"protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256", **LOGIN},
        {"protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", **LOGIN},
        {"protocol": "SASL_SSL", **OAUTH},
        {"protocol": "SASL_PLAINTEXT", "oauth_scope": "write", **OAUTH},
        {"protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM"},
    ],
)
def test_each_way_in_is_accepted(security: dict[str, str]) -> None:
    assert problems_of(**security) == []


@pytest.mark.parametrize(
    ("security", "problems"),
    [
        (
            {"protocol": "SASL_SSL"},
            [("sasl_mechanism", "required with protocol: SASL_SSL")],
        ),
        (
            {"protocol": "SSL", "sasl_mechanism": "PLAIN", **LOGIN},
            [("sasl_mechanism", "only used with protocol: SASL_PLAINTEXT | SASL_SSL")],
        ),
        (
            {"protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "username": "me"},
            [("password", "required with sasl_mechanism: SCRAM-SHA-512")],
        ),
        (LOGIN, [("username", BY_PASSWORD), ("password", BY_PASSWORD)]),
        (
            {"protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth_client_id": "me"},
            [
                ("oauth_token_endpoint", "required with sasl_mechanism: OAUTHBEARER"),
                ("oauth_client_secret", "required with sasl_mechanism: OAUTHBEARER"),
            ],
        ),
        (
            {"protocol": "SASL_SSL", **OAUTH, "oauth_token_endpoint": "login.example"},
            [
                (
                    "oauth_token_endpoint",
                    "found 'login.example'; allowed: a URL of http or https",
                )
            ],
        ),
        (
            {"oauth_scope": "write"},
            [("oauth_scope", "only used with sasl_mechanism: OAUTHBEARER")],
        ),
        (
            {"protocol": "SASL_PLAINTEXT", "sasl_mechanism": "AWS_MSK_IAM"},
            [("protocol", "AWS_MSK_IAM is only offered with SASL_SSL")],
        ),
        ({"key_password": "s"}, [("key_password", "only used with cert_file")]),
    ],
)
def test_what_cannot_stand_together_is_refused(
    security: dict[str, str], problems: list[tuple[str, str]]
) -> None:
    assert problems_of(**security) == problems


def test_files_of_tls_are_refused_where_no_tls_is_spoken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = str(authority.issue("own"))
    assert problems_of(ca_file=str(authority.file), cert_file=own) == [
        ("ca_file", TLS_ONLY),
        ("cert_file", TLS_ONLY),
    ]
    # The token endpoint may need it.
    security = {"protocol": "SASL_PLAINTEXT", "ca_file": str(authority.file), **OAUTH}
    assert problems_of(**security) == []


@pytest.mark.parametrize(
    ("mechanism", "library", "told"),
    [
        ("GSSAPI", "gssapi", "GSSAPI needs the Python library gssapi, and Kerberos's own"),
        (
            "AWS_MSK_IAM",
            "aws_msk_iam_sasl_signer",
            "AWS_MSK_IAM needs the extra spoolsink[msk]",
        ),
    ],
)
def test_a_mechanism_is_refused_where_its_library_is_missing(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, library: str, told: str
) -> None:
    security = {"protocol": "SASL_SSL", "sasl_mechanism": mechanism}
    monkeypatch.setitem(sys.modules, library, None)
    assert problems_of(**security) == [("sasl_mechanism", told)]
    monkeypatch.setitem(sys.modules, library, ModuleType(library))
    assert problems_of(**security) == []


def test_files_that_cannot_be_used_are_named_with_what_is_wrong(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, locked = authority.issue("own"), authority.issue("locked", password="open-sesame")
    empty, absent = tmp_path / "empty.pem", str(tmp_path / "absent.pem")
    empty.write_text("")

    def told(**files: str) -> list[tuple[str, str]]:
        return problems_of(protocol="SSL", **files)

    assert told(ca_file=absent, cert_file=absent) == [
        ("ca_file", f"cannot read {absent}: No such file or directory"),
        ("cert_file", f"cannot read {absent}: No such file or directory"),
    ]
    ((key, text),) = told(ca_file=str(empty))
    assert (key, text.partition(" (")[0]) == ("ca_file", "no certificate of an authority")
    assert told(cert_file=str(own)) == told(cert_file=str(own), key_file=str(own)) == []
    ((key, text),) = told(cert_file=str(authority.file))
    assert (key, text.partition(" (")[0]) == ("cert_file", "no certificate with its key")
    assert told(cert_file=str(own), key_file=str(authority.issue("other"))) == [
        ("key_file", "no certificate with its key (key values mismatch)")
    ]
    assert told(cert_file=str(locked)) == [
        ("cert_file", "the key is encrypted: key_password is required")
    ]
    ((key, text),) = told(cert_file=str(locked), key_password="canary-7")
    assert "that key_password opens" in text
    assert "canary" not in text
    assert told(cert_file=str(locked), key_password="open-sesame") == []


def test_a_file_that_cannot_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    text = BASE.replace(
        "s3:", "  security:\n    protocol: SSL\n    ca_file: /nonexistent/ca.pem\ns3:"
    )
    with pytest.raises(Exception, match="cannot read") as caught:
        load_text(tmp_path, text)
    line = text.splitlines().index("    ca_file: /nonexistent/ca.pem") + 1
    assert f"sink.yaml:{line}: kafka.security.ca_file: cannot read /nonexistent/ca.pem" in str(
        caught.value
    )
