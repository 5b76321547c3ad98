"""What an operator does about a hold or an error, in a line; `docs/runbook.md` says more.

The first entry that fits is the remedy. Sources are those that `Health.fail` is called with.
"""

import re
from typing import NamedTuple


class _Remedy(NamedTuple):
    source: re.Pattern[str]
    reason: re.Pattern[str]
    text: str


_TP = r".+-\d+"

_TABLE = [
    _Remedy(re.compile(source), re.compile(reason), text)
    for source, reason, text in (
        ("s3", "NoSuchBucket", "Make the bucket; the sink never does."),
        (
            "s3",
            "AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|AllAccessDisabled|403",
            "Grant the right or mend the key; `spoolsink check --connect` names what is missing.",
        ),
        ("s3", "Expired|InvalidToken|TokenRefresh", "Renew the credentials."),
        ("s3", "RequestTimeTooSkewed", "Set the host's clock right."),
        ("s3", r"KMS\.", "Enable the key of the encryption, and grant its use."),
        ("s3", "QuotaExceeded|XMinioStorageFull", "Make room in the store."),
        ("s3", r"Proxy\w*Error.*40[137]", "Mend the log-in in s3.proxy_url, or the proxy."),
        ("s3", "SSLError|certificate", "Mend the store's certificate, or s3.ca_file."),
        ("s3", "profile|Credentials", "Give the process credentials, then restart it."),
        (
            "s3",
            "",
            "S3 is away or throttles: wait; the spool takes what comes meanwhile.",
        ),
        (
            "s3 conditional writes",
            "",
            "Use another store, or conditional_writes: auto with file_name: range.",
        ),
        ("kafka group", "", "Wait for a session's time; then look at the brokers and the network."),
        (
            "kafka|start",
            "(?i)auth|log-in|kerberos|sasl|ssl|certificate|password|token",
            "Mend kafka.security or the user's rights; `spoolsink check --connect` tries them.",
        ),
        ("kafka|start", "", "Look at the brokers and kafka.bootstrap_servers; it is tried again."),
        (
            "spool",
            "",
            "Make room on the disk or mend it; nothing is polled until then, and nothing is lost.",
        ),
        (_TP + " key", "", "Find who else writes under this key; nothing is overwritten."),
        (_TP + " commit", "", "Raise offset.metadata.max.bytes on the brokers."),
        (
            _TP,
            r"offset \d+: (convert|layout|format|record)",
            "Mend the producer, or set records.on_error to skip or dead_letter; then restart.",
        ),
        (
            _TP,
            "created anew",
            "Reset the group's offset for the new topic, on purpose, with every member stopped.",
        ),
        (_TP, "no offset of the topic", "Set kafka.start_from, on purpose."),
        (
            _TP,
            "gone from the log",
            "kafka.on_offset_lost: continue accepts the loss and counts it; lengthen retention.",
        ),
        (
            _TP,
            "above the log's end",
            "Reset the group's offset, with every member stopped: the log was cut or restored.",
        ),
        (_TP, "schema registry|dead letter topic", "Wait, or mend it; it is asked again."),
    )
]

OTHERWISE = "See docs/runbook.md; a restart of the connector tries again at once."


def remedy_of(source: str, reason: str) -> str:
    """Never empty."""
    for entry in _TABLE:
        if entry.source.fullmatch(source) and entry.reason.search(reason):
            return entry.text
    return OTHERWISE
