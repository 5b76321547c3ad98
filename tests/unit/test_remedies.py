"""Every hold that the runbook lists has its own line of what to do."""

import pytest

from spoolsink.admin.remedies import OTHERWISE, remedy_of


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        ("s3", "PutObject s3://b/k: NoSuchBucket: none", "Make the bucket"),
        ("s3", "PutObject s3://b/k: AccessDenied: no", "Grant the right"),
        ("s3", "PutObject s3://b/k: ExpiredToken: old", "Renew the credentials"),
        ("s3", "PutObject s3://b/k: RequestTimeTooSkewed: off", "clock"),
        ("s3", "PutObject s3://b/k: KMS.DisabledException: off", "Enable the key"),
        ("s3", "PutObject s3://b/k: XMinioStorageFull: full", "Make room"),
        ("s3", "PutObject: ProxyConnectionError: no (it answers 407)", "s3.proxy_url"),
        ("s3", "PutObject: SSLError: certificate verify failed", "s3.ca_file"),
        ("s3", "PutObject s3://b/k: SlowDown: later", "wait"),
        ("s3", "PutObject s3://b/k: EndpointConnectionError: none", "wait"),
        ("s3 conditional writes", "not honoured", "another store"),
        ("kafka", "no broker answers", "bootstrap_servers"),
        ("kafka", "SaslAuthenticationFailed: bad password", "kafka.security"),
        ("kafka", "b:9092: log-in refused: No Kerberos credentials available", "kafka.security"),
        ("kafka", "b:9092: no token: the endpoint answers 401", "kafka.security"),
        ("kafka group", "the group is being joined", "session"),
        ("spool", "/spool: No space left on device", "room"),
        ("orders-3", "the topic was created anew", "Reset the group's offset"),
        ("orders-3", "the group has no offset of the topic, and objects lie", "start_from"),
        ("orders-3", "offsets 1 to 5 are gone from the log", "on_offset_lost"),
        ("orders-3", "committed offset 5 is above the log's end", "Reset"),
        ("orders-3", "orders-3 offset 7: convert: no JSON", "on_error"),
        ("orders-3", "schema registry: no answer", "mend it"),
        ("a-b-3 commit", "the broker refuses 5000 bytes of metadata", "offset.metadata.max.bytes"),
        ("orders-3 key", "taken", "who else writes"),
    ],
)
def test_a_hold_has_its_remedy(source: str, reason: str, words: str) -> None:
    assert words in remedy_of(source, reason)


def test_what_nobody_thought_of_still_has_one() -> None:
    assert remedy_of("moon", "eclipse") == OTHERWISE
