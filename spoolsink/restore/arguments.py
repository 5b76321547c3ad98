"""The arguments of `spoolsink restore`, and the selection that they mean."""

import argparse

from spoolsink.config_model import Config
from spoolsink.config_records import TOPIC, TOPIC_ALLOWED
from spoolsink.errors import ConfigError
from spoolsink.restore.selection import Selection, parse_time

_MAX_OFFSET = 2**63 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those behind the configuration file."""
    add = parser.add_argument
    add("--to-topic", required=True, metavar="T", help="an existing topic with enough partitions")
    add("--topic", metavar="S", help="whose records; needed where the file names several topics")
    add("--from", dest="from_", metavar="TIME", help="first record time (ISO 8601)")
    add("--until", metavar="TIME", help="the record time before which it ends (ISO 8601)")
    add("--partition", type=_offset, metavar="N", help="of this Kafka partition only")
    add("--from-offset", type=_offset, default=0, metavar="N", help="first offset")
    add("--until-offset", type=_offset, metavar="N", help="the offset before which it ends")
    add("--rate", type=_rate, metavar="N", help="at most this many records a second")


def selected(config: Config, options: argparse.Namespace) -> Selection:
    """Raises ConfigError, each problem with the argument's name."""
    problems: list[str] = []
    if not TOPIC.fullmatch(options.to_topic):
        problems.append(f"--to-topic: found '{options.to_topic}'; allowed: {TOPIC_ALLOWED}")
    topic = _topic(config, options.topic, problems)
    times = {"--from": options.from_, "--until": options.until}
    found: dict[str, int | None] = {}
    for name, text in times.items():
        try:
            found[name] = None if text is None else parse_time(text, config)
        except ValueError:
            problems.append(f"{name}: found '{text}'; allowed: an ISO 8601 time")
            found[name] = None
    low, high = found["--from"], found["--until"]
    if low is not None and high is not None and low >= high:
        problems.append("--until: must be behind --from")
    if options.until_offset is not None and options.until_offset <= options.from_offset:
        problems.append("--until-offset: must be above --from-offset")
    if problems:
        raise ConfigError(problems)
    return Selection(
        topic=topic,
        target=options.to_topic,
        partition=options.partition,
        from_offset=options.from_offset,
        until_offset=options.until_offset,
        from_ms=low,
        until_ms=high,
    )


def _topic(config: Config, asked: str | None, problems: list[str]) -> str:
    topics = config.kafka.topics
    if asked is not None:
        is_allowed = TOPIC.fullmatch(asked) if topics is None else asked in topics
        if not is_allowed:
            allowed = TOPIC_ALLOWED if topics is None else " | ".join(topics)
            problems.append(f"--topic: found '{asked}'; allowed: {allowed}")
        return asked
    if topics is None or len(topics) > 1:
        problems.append("--topic: required, since the file has several topics")
        return ""
    return topics[0]


def _offset(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= _MAX_OFFSET:
        return int(text)
    raise argparse.ArgumentTypeError(f"found {text}; allowed: 0 to {_MAX_OFFSET}")


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if 0 < rate < float("inf"):
        return rate
    raise argparse.ArgumentTypeError(f"found {text}; allowed: a number above 0")
