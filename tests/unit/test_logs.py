"""Log lines: their form, what cannot get through them, and what they never show."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from spoolsink import logs
from spoolsink.records import TopicPartition

FOREIGN = ("aiokafka", "aiobotocore", "botocore", "asyncio", "aiohttp")
LOG = logging.getLogger("spoolsink.x")


@pytest.fixture(autouse=True)
def _process_state() -> Iterator[None]:
    """The root logger and the hidden secrets belong to the process: put back as they were."""
    loggers = [logging.getLogger(name) for name in ("", *FOREIGN)]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logs._hidden.clear()


def begin(form: Literal["text", "json"], level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(form=form, level=level, stream=stream)
    return stream


def refuse(message: str) -> None:
    raise ValueError(message)


def fail_with(message: str) -> None:
    try:
        refuse(message)
    except ValueError:
        LOG.exception("failed", extra={"tp": "orders-3"})


def record_at(created: float) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "spoolsink.x", "levelno": 20, "levelname": "INFO", "msg": "m", "created": created}
    )


def test_a_line_of_text_has_time_level_logger_message_and_fields() -> None:
    stream = begin("text")
    record = record_at(1_769_853_600.1239)
    record.__dict__ |= {"tp": TopicPartition("orders", 3), "offset": 12}
    LOG.handle(record)
    assert stream.getvalue() == (
        "2026-01-31T10:00:00.123Z INFO  spoolsink.x m tp=orders-3 offset=12\n"
    )


def test_a_line_of_json_has_the_same() -> None:
    stream = begin("json")
    record = record_at(1_769_853_600.0)
    record.__dict__ |= {"tp": TopicPartition("orders", 3), "offset": 12, "is_new": True}
    LOG.handle(record)
    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-31T10:00:00.000Z",
        "level": "INFO",
        "logger": "spoolsink.x",
        "message": "m",
        "tp": "orders-3",
        "offset": 12,
        "is_new": True,
    }


def test_values_that_would_be_misread_are_quoted() -> None:
    stream = begin("text")
    LOG.info("m", extra={"a": "two words", "b": "", "c": 'x"\\y', "d": "k=v"})
    assert stream.getvalue().endswith(' m a="two words" b="" c="x\\"\\\\y" d="k=v"\n')


EVIL = "a\nINFO forged\r\x1b[31m\x00\x7f\x85\x9b\u2028\u202e\ud800"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_came_from_outside_cannot_end_a_line_or_steer_a_terminal(
    form: Literal["text", "json"],
) -> None:
    stream = begin(form)
    LOG.info("message %s", EVIL, extra={"field": EVIL, "nested": [{EVIL: EVIL}], EVIL: 1})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
    assert text.isascii()


def test_json_gives_back_what_was_logged() -> None:
    stream = begin("json")
    LOG.info("message %s", EVIL)
    assert json.loads(stream.getvalue())["message"] == f"message {EVIL}"


def test_a_traceback_in_text_is_indented_so_that_it_cannot_forge_a_line() -> None:
    stream = begin("text")
    fail_with("boom\n2026-01-31T10:00:00.000Z INFO  spoolsink.x forged \x1b[2J")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("failed tp=orders-3")
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert any("ValueError: boom" in line for line in rest)


def test_a_traceback_in_json_is_one_field() -> None:
    stream = begin("json")
    fail_with("boom")
    line = json.loads(stream.getvalue())
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: boom")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: {2}}, object(), b"\xff", None])
def test_every_value_has_a_json_form(value: object) -> None:
    stream = begin("json")
    LOG.info("m", extra={"value": value})

    def no_json(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    assert "value" in json.loads(stream.getvalue(), parse_constant=no_json)


def test_a_field_cannot_stand_in_for_what_the_record_says() -> None:
    stream = begin("json")
    LOG.info("m", extra={"level": "DEBUG", "time": "never"})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["level_"], line["time_"]) == ("INFO", "DEBUG", "never")


SECRET = "s3cr'et\\\"+/ value"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "write",
    [
        lambda text: LOG.info("key %s", text),
        lambda text: LOG.info("key", extra={"field": text}),
        lambda text: LOG.info("key", extra={"field": {"a": [text, {text: 1}]}}),
        lambda text: LOG.info("key", extra={"field": ValueError(text)}),
        lambda text: LOG.info("key", extra={"field": (text,)}),
        lambda text: LOG.info("key %r", {"password": text}),
        fail_with,
    ],
    ids=["message", "field", "nested", "object", "tuple", "repr", "traceback"],
)
def test_a_hidden_value_shows_nowhere(
    form: Literal["text", "json"], write: Callable[[str], None]
) -> None:
    logs.hide(SECRET)
    stream = begin(form)
    write(SECRET)
    text = stream.getvalue()
    assert "***" in text
    assert "et\\" not in text.replace("\\\\", "\\")
    assert "+/ value" not in text


def test_a_number_that_is_a_secret_is_hidden_and_others_stay_numbers() -> None:
    logs.hide("12345678")
    stream = begin("json")
    LOG.info("m", extra={"pin": 12345678, "offset": 12})
    line = json.loads(stream.getvalue())
    assert (line["pin"], line["offset"]) == ("***", 12)


def test_the_password_of_a_url_and_its_escaped_form_are_hidden() -> None:
    logs.hide("http://me:pass-w0rd@proxy:3128")
    logs.hide("a b/c+d")
    assert logs.redact("pass-w0rd a%20b%2Fc%2Bd proxy") == "*** *** proxy"


def test_a_secret_within_a_longer_one_leaves_nothing_of_the_longer() -> None:
    logs.hide("abcd")
    logs.hide("abcd-efgh")
    assert logs.redact("abcd-efgh abcd") == "*** ***"


def test_values_below_four_characters_are_not_hidden() -> None:
    for value in ("", "a", "abc"):
        logs.hide(value)
    assert logs.redact("a cab abc") == "a cab abc"


@pytest.mark.parametrize(
    ("level", "foreign"),
    [("debug", logging.INFO), ("INFO", logging.WARNING), ("ERROR", logging.ERROR)],
)
def test_libraries_are_heard_later_than_we_are(level: str, foreign: int) -> None:
    begin("text", level)
    assert logging.getLogger().level == logging.getLevelNamesMapping()[level.upper()]
    assert {logging.getLogger(f"{name}.sub").getEffectiveLevel() for name in FOREIGN} == {foreign}


def test_a_second_configuration_replaces_the_first() -> None:
    first, second = begin("text"), begin("json")
    LOG.info("once")
    assert not first.getvalue()
    assert json.loads(second.getvalue())["message"] == "once"


def test_a_line_that_cannot_be_written_shows_no_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = begin("text")
    # Alone: the test runner's own handlers would fail aloud.
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if isinstance(h, logs._LineHandler)]
    LOG.info("wants a number: %d", SECRET)
    assert stream.getvalue().startswith("unwritable log line of test_logs:")
    assert "value" not in stream.getvalue()
    assert capsys.readouterr() == ("", "")


def test_a_closed_stream_does_not_reach_whoever_logs() -> None:
    stream = begin("text")
    stream.close()
    LOG.info("into the void")


def test_something_is_called_before_each_line_and_its_failure_is_not_the_loggers() -> None:
    stream, calls = io.StringIO(), []

    def before() -> None:
        calls.append(stream.getvalue().count("\n"))
        raise OSError

    logs.configure(form="text", level="INFO", stream=stream, before_line=before)
    LOG.info("one")
    LOG.info("two")
    assert calls == [0, 1]
    assert stream.getvalue().count("\n") == 2


def test_lines_of_many_threads_are_whole() -> None:
    stream = begin("json")

    def write() -> None:
        for _ in range(50):
            LOG.info("x" * 500)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 200
    assert {json.loads(line)["message"] for line in lines} == {"x" * 500}


def test_keys_that_cannot_be_renewed_are_one_line_without_a_traceback() -> None:
    stream = begin("text")
    try:
        refuse("AccessDenied\nas planned")
    except ValueError:
        logging.getLogger("aiobotocore.credentials").warning("Refreshing failed.", exc_info=True)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("Refreshing failed. AccessDenied\\nas planned")


def test_what_a_library_repeats_is_told_every_ten_seconds() -> None:
    """A broker that is away would fill the disk of the host; our own lines are never held back."""
    now = 0.0
    sparing = logs._Sparing(lambda: now)

    def passes(name: str, text: str) -> bool:
        return sparing.filter(logging.LogRecord(name, logging.ERROR, "", 0, text, (now,), None))

    assert [passes("aiokafka.conn", "no %s") for _ in range(3)] == [True, False, False]
    assert passes("aiokafka.conn", "other")
    assert all(passes("spoolsink.engine", "same") for _ in range(3))
    now = 10.0
    assert passes("aiokafka.conn", "no %s")
