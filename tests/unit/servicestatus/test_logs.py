"""One printable line for each record, whatever a peer sent."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from servicestatus import logs

HOSTILE = [
    ("line\nWARNING forged: line", r"line\nWARNING forged: line"),
    ("over\rwritten", r"over\rwritten"),
    ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
    ("a\u202egnp.exe", r"a\u202egnp.exe"),
    ("\u2066isolate\u2069", r"\u2066isolate\u2069"),
    ("two\u2028lines\u2029", r"two\u2028lines\u2029"),
    ("zero\u200bwidth", r"zero\u200bwidth"),
    ("nul\x00", r"nul\x00"),
    ("c1\x9b31m", r"c1\x9b31m"),
    ("half \ud83d pair", r"half \ud83d pair"),
    ("tag \U000e0041", r"tag \U000e0041"),
]


@pytest.fixture
def restored_root() -> Iterator[None]:
    """The root logger is everybody's: it is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    """A record of the first of January 2026, 12:00:00.5 UTC."""
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("handler_service.status_manager", logging.WARNING, __file__, 1, message, args, info)
    made.created = 1_767_268_800.5
    return made


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_what_is_not_printable_is_escaped(text: str, expected: str) -> None:
    """No line is forged, no cursor moved, no text hidden or turned round."""
    assert logs.printable(text) == expected


@pytest.mark.parametrize("text", ["plain text", "Grüße, 世界", "a 'quoted' \"text\"", ""])
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    """People can read the names of their VMs."""
    assert logs.printable(text) == text


def test_a_long_text_is_cut() -> None:
    """A record costs a bounded number of bytes, escapes included."""
    assert logs.printable("x" * 4097) == "x" * 4096 + "..."
    assert len(logs.printable("\x00" * 100_000)) <= 4 * 4096 + 3


def test_a_text_record_is_one_line() -> None:
    """Time in UTC, level, logger, message."""
    line = logs.TextFormatter().format(record("claimed %s", "evil\nname"))
    assert line == r"2026-01-01T12:00:00.500Z WARNING handler_service.status_manager: claimed evil\nname"


def test_a_json_record_is_one_object_on_one_line() -> None:
    """A collector of logs can parse each line, and finds what was escaped."""
    line = logs.JSONFormatter().format(record("claimed %s", "evil\n\u202e\x1b[0m"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-01-01T12:00:00.500Z",
        "level": "warning",
        "logger": "handler_service.status_manager",
        "message": r"claimed evil\n\u202e\x1b[0m",
    }


def about(vmi: object = "", pod: str = "") -> logging.LogRecord:
    """A record with fields."""
    made = record("unknown")
    vars(made).update(logs.fields(vmi=vmi, pod=pod))
    return made


@pytest.mark.parametrize(
    ("vmi", "pod", "expected"),
    [
        ("default/vm", "0b5e", "unknown vmi=default/vm pod=0b5e"),
        ("default/vm", "", "unknown vmi=default/vm"),
        ("", "0b5e", "unknown pod=0b5e"),
        ("", "", "unknown"),
        ("a b", 'c"d', r'unknown vmi="a b" pod="c\"d"'),
        ("x pod=forged", "", 'unknown vmi="x pod=forged"'),
        ("evil\nname", "\u202e", r"unknown vmi=evil\nname pod=\u202e"),
    ],
)
def test_a_text_record_ends_in_its_fields(vmi: str, pod: str, expected: str) -> None:
    line = logs.TextFormatter().format(about(vmi, pod))
    assert line == f"2026-01-01T12:00:00.500Z WARNING handler_service.status_manager: {expected}"


def test_a_json_record_has_its_fields_as_members() -> None:
    found = json.loads(logs.JSONFormatter().format(about("default/vm\x1b", "0b5e")))
    assert (found["message"], found["vmi"], found["pod"]) == ("unknown", r"default/vm\x1b", "0b5e")
    assert found.keys() == {"time", "level", "logger", "message", "vmi", "pod"}


def test_fields_pass_through_a_logger(restored_root: None) -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    logging.getLogger("handler_service").info("serving", extra=logs.fields(vmi="default/vm", pod="0b5e"))
    assert stream.getvalue().endswith("INFO handler_service: serving vmi=default/vm pod=0b5e\n")


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JSONFormatter()])
def test_a_traceback_stays_within_its_line(formatter: logging.Formatter) -> None:
    """An exception's text may be hostile too."""
    with pytest.raises(ValueError, match="first") as raised:
        int("first\nWARNING second")
    line = formatter.format(record("unexpected failure", error=raised.value))
    assert len(line.splitlines()) == 1
    assert "ValueError: invalid literal" in line


@pytest.mark.usefixtures("restored_root")
@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_setup_shows_records_of_its_level_and_above(level: str, expected: int) -> None:
    """--log-level means what it says."""
    stream = io.StringIO()
    logs.setup(level, "text", stream)
    log = logging.getLogger("servicestatus.test")
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(number, "a record")
    assert len(stream.getvalue().splitlines()) == expected


@pytest.mark.usefixtures("restored_root")
def test_setup_chooses_the_format() -> None:
    """--log-format json makes every line an object."""
    stream = io.StringIO()
    logs.setup("info", "json", stream)
    logging.getLogger("servicestatus.test").info("hello")
    assert json.loads(stream.getvalue())["message"] == "hello"


@pytest.mark.usefixtures("restored_root")
def test_records_go_to_standard_error_as_it_is_when_setup_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays empty, and a stream that was replaced since the import is not written to."""
    logs.setup("info", "text")
    logging.getLogger("servicestatus.test").info("hello")
    sys.stderr.flush()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("INFO servicestatus.test: hello\n")
