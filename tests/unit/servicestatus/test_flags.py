"""Flags, their environment variables, and how a wrong one ends the program."""

import argparse
from collections.abc import Mapping, Sequence

import pytest

from servicestatus import flags


def parser() -> flags.FlagParser:
    """A program with one flag of each kind."""
    made = flags.FlagParser("launcher-agent", "What it does.", "examples: none", "1.2.3")
    made.add_argument("--socket", type=flags.filled, default="/run/default.sock", help="where")
    made.add_argument("--interval", type=flags.duration, default="5s")
    made.add_argument("--endpoint", action="append", default=[])
    made.add_argument("--query", action=argparse.BooleanOptionalAction, default=True, help="whether")
    made.add_argument("--log-level", choices=["info", "debug"], default="info")
    return made


def parse(*arguments: str, **environment: str) -> argparse.Namespace:
    """Parse with `LAUNCHER_AGENT_` put before the names of `environment`."""
    return parser().parse(arguments, {f"LAUNCHER_AGENT_{name}": value for name, value in environment.items()})


def mistake(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> str:
    """The one line on standard error with which parsing ends."""
    with pytest.raises(SystemExit) as ended:
        parse(*arguments, **(environment or {}))
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    lines = err.splitlines()
    assert len(lines) == 1
    return lines[0]


# --- durations and texts ---


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), ("0s", 0.0)],
)
def test_a_duration_has_a_number_and_a_unit(text: str, seconds: float) -> None:
    """As kubectl writes it."""
    assert flags.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "+5s", "1e3s", ".5s", "5.s", "5S", "5s\n", "1m30s", "٣s"])
def test_anything_else_is_no_duration(text: str) -> None:
    """A number without a unit would be guessed wrongly half the time."""
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration such as 250ms, 5s or 2m"):
        flags.duration(text)


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_text_is_refused(text: str) -> None:
    """`--socket ""` is most often a variable that was not set."""
    with pytest.raises(argparse.ArgumentTypeError, match="it must not be empty"):
        flags.filled(text)


# --- where values come from ---


def test_a_flag_that_is_not_given_has_its_default() -> None:
    """Nothing is needed."""
    options = parse()
    assert (options.socket, options.interval, options.endpoint) == ("/run/default.sock", 5.0, [])
    assert (options.query, options.log_level) == (True, "info")


def test_every_flag_is_a_variable_too() -> None:
    """Named alike, values parsed alike."""
    options = parse(SOCKET="/a b", INTERVAL="250ms", ENDPOINT="x y\tz", QUERY="false", LOG_LEVEL="debug")
    assert (options.socket, options.interval) == ("/a b", 0.25)
    assert options.endpoint == ["x", "y", "z"]
    assert (options.query, options.log_level) == (False, "debug")


def test_the_command_line_wins() -> None:
    """Over the variable, in both ways to write a value."""
    assert parse("--socket", "/c", SOCKET="/e").socket == "/c"
    assert parse("--socket=/c", SOCKET="/e").socket == "/c"


def test_a_repeatable_flag_replaces_its_variable() -> None:
    """Two lists that are silently joined would be two sources of truth."""
    assert parse("--endpoint", "c", ENDPOINT="d e").endpoint == ["c"]


def test_a_boolean_flag_wins_in_both_its_forms() -> None:
    """`--no-query` is the same flag as `--query`."""
    assert parse("--no-query", QUERY="true").query is False
    assert parse("--query", QUERY="false").query is True


def test_an_empty_variable_of_a_repeatable_flag_is_an_empty_list() -> None:
    """No value, no mistake."""
    assert parse(ENDPOINT=" ").endpoint == []


def test_a_value_may_begin_with_a_dash_in_a_variable() -> None:
    """It is a value there, never a flag."""
    assert parse(SOCKET="--query").socket == "--query"


def test_variables_of_other_programs_are_not_read() -> None:
    """The prefix is the program's name."""
    assert parser().parse([], {"HANDLER_SERVICE_SOCKET": "/x", "SOCKET": "/y"}).socket == "/run/default.sock"


@pytest.mark.parametrize("flag", ["help", "version"])
def test_help_and_version_are_no_variables(flag: str) -> None:
    """A pod with LAUNCHER_AGENT_VERSION in its environment still starts."""
    assert parse(**{flag.upper(): "true"}).query is True


# --- mistakes ---


def test_a_wrong_value_is_told_with_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit status 2."""
    assert mistake(capsys, ["--interval", "5"]) == (
        "launcher-agent: error: argument --interval: '5' is not a duration such as 250ms, 5s or 2m"
        " (see launcher-agent --help)"
    )


def test_a_wrong_value_of_the_environment_names_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader must not look for a flag that was not given."""
    line = mistake(capsys, [], {"INTERVAL": "5"})
    assert "argument --interval (from LAUNCHER_AGENT_INTERVAL): '5' is not a duration" in line


def test_a_wrong_choice_names_flag_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    """And what there is to choose."""
    line = mistake(capsys, [], {"LOG_LEVEL": "loud"})
    assert "argument --log-level (from LAUNCHER_AGENT_LOG_LEVEL): invalid choice: 'loud'" in line
    assert "info" in line


def test_a_boolean_variable_is_true_or_false(capsys: pytest.CaptureFixture[str]) -> None:
    """Not yes, 1 or empty: a typing mistake must not turn a safeguard off."""
    line = mistake(capsys, [], {"QUERY": "yes"})
    assert "argument --query (from LAUNCHER_AGENT_QUERY): invalid value 'yes' (true or false)" in line


def test_a_variable_is_not_blamed_for_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the flag was given, its variable was not read."""
    assert "LAUNCHER_AGENT" not in mistake(capsys, ["--interval", "5"], {"INTERVAL": "6"})


def test_an_abbreviated_flag_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that is added later must not change the meaning of a command line."""
    assert "unrecognized arguments: --sock" in mistake(capsys, ["--sock", "/x"])


def test_a_mistake_is_one_printable_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the value holds."""
    line = mistake(capsys, ["--interval", "1\n2\x1b[2J\u202e"])
    assert line.isprintable()


def test_a_mistake_that_shows_up_later_is_told_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """fail() is for flags that contradict each other."""
    made = parser()
    made.parse([], {"LAUNCHER_AGENT_SOCKET": "/x"})
    with pytest.raises(SystemExit) as ended:
        made.fail("--socket", "is no good with --query")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "launcher-agent: error: argument --socket (from LAUNCHER_AGENT_SOCKET): is no good with --query"
        " (see launcher-agent --help)\n"
    )


# --- help ---


def test_help_keeps_an_address_in_one_piece_and_prints_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied from it works, on a narrow terminal too."""
    monkeypatch.setenv("COLUMNS", "60")
    made = parser()
    group = made.add_argument_group("the VM")
    address = "qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock"
    group.add_argument("--uri", default=address, help="a libvirt of this machine, read-only")
    group.add_argument("--no-thing", action="store_true", help="no thing")
    group.add_argument("--other", help="some text (default: none)")
    with pytest.raises(SystemExit) as ended:
        made.parse(["--help"], {})
    assert ended.value.code == 0
    out = capsys.readouterr().out
    lines = [line.strip() for line in out.splitlines()]
    assert f"{address})" in lines
    text = " ".join(out.split())
    assert "(default: /run/default.sock)" in text
    assert "(default: --query)" in text
    assert lines[lines.index("the VM:") + 1].startswith("--uri URI")
    assert out.count("read-only") == 1
    assert "no thing\n" in out
    assert out.count("(default: none)") == 1


def test_version_is_told_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends the program well, even where the environment is wrong."""
    with pytest.raises(SystemExit) as ended:
        parse("--version")
    assert ended.value.code == 0
    assert capsys.readouterr().out == "launcher-agent 1.2.3\n"
