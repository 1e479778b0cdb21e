"""Parses the command lines: every flag can be set in the environment too, and a wrong value ends the program.

`--log-level` of `launcher-agent` is `LAUNCHER_AGENT_LOG_LEVEL`. The command line takes precedence. The variable of a
repeatable flag has its values separated by white space. A mistake is one line on standard error that names the flag,
the value, and the variable if the value is from there. The exit status is 2.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from servicestatus import logs, names

_T = TypeVar("_T")

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def duration(text: str) -> float:
    """Return the seconds of a duration such as `250ms`, `1.5s` or `2m`; raises ArgumentTypeError for other texts."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 250ms, 5s or 2m")
    return float(match[1]) * _UNITS[match[2]]


def filled(text: str) -> str:
    """Return `text`; raises ArgumentTypeError if it is empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it must not be empty")
    return text


class DurationRange:
    """Parses a flag's duration within bounds; returns seconds."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> float:
        seconds = duration(text)
        if not self._low <= seconds <= self._high:
            raise argparse.ArgumentTypeError(f"{text} is not between {self._low:g}s and {self._high:g}s")
        return seconds


def checked_by(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return a flag's type from a parser that raises ValueError with the reason."""

    def checked(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error

    return checked


def namespace(text: str) -> str:
    """Return `text`; raises ValueError if it cannot be the name of a namespace."""
    if not names.is_namespace(text):
        raise ValueError("it is not the name of a namespace")
    return text


def add_log_flags(add: Callable[..., object]) -> None:
    """Add what every program has; `add` is the `add_argument` of a parser or of a group."""
    add("--log-level", choices=logs.LEVELS, default="info", help="the least severe messages to log")
    add("--log-format", choices=logs.FORMATS, default="text", help="how a message is written")


def existing_file(text: str) -> Path:
    """Return an absolute path; raises ValueError if there is no file."""
    path = Path(text).absolute()
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    return path


def existing_directory(text: str) -> Path:
    """Return an absolute path; raises ValueError if there is no directory."""
    path = Path(text).absolute()
    if not path.is_dir():
        raise ValueError(f"{path} is not a directory: create it first, or name another")
    return path


def socket_path(text: str | Path) -> Path:
    """Return an absolute path; raises ValueError if a socket cannot be created there for lack of a directory."""
    path = Path(text).absolute()
    existing_directory(str(path.parent))
    return path


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Prints each default, and keeps a URI or a path in one piece, so that it can be copied."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)  # most flags and their values stand in one column of this width

    def _split_lines(self, text: str, width: int) -> list[str]:
        lines = [""]
        for word in text.split():
            if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".lstrip()
        return lines

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if "(default:" in text or action.default in (None, "", [], argparse.SUPPRESS):
            return text
        if isinstance(action, argparse.BooleanOptionalAction):
            default = action.option_strings[0 if action.default else 1]
        elif action.nargs == 0:
            return text  # a flag without a value, whose absence is the default
        else:
            default = "%(default)s"
        return f"{text} (default: {default})".lstrip()


class FlagParser(argparse.ArgumentParser):
    """An argument parser whose flags can be set in the environment."""

    def __init__(self, prog: str, description: str, epilog: str, version: str) -> None:
        """`prog` is the program's name. Its variables begin with that name in capitals, and an underscore."""
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
        )
        self._prefix = prog.upper().replace("-", "_") + "_"
        self._from_environment: dict[str, str] = {}
        self.add_argument("--version", action="version", version=f"{prog} {version}")

    def variable(self, flag: str) -> str:
        """Return the environment variable of `flag`, which begins with `--`."""
        return self._prefix + flag.removeprefix("--").upper().replace("-", "_")

    def parse(self, arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
        """Parse the arguments; exits with status 2 after a mistake, and with 0 after `--help` or `--version`."""
        return self.parse_args([*self._environment_arguments(arguments, environment), *arguments])

    def fail(self, flag: str, problem: str) -> NoReturn:
        """End the program because of `flag`."""
        self.error(f"argument {flag}: {problem}")

    def error(self, message: str) -> NoReturn:
        """Print one line, which names the variable if the value is from the environment, and exit with status 2."""
        for flag, variable in self._from_environment.items():
            message = re.sub(rf"argument {flag}(?=[:/ ])", f"argument {flag} (from {variable})", message)
        print(f"{self.prog}: error: {logs.printable(message)} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)

    def _environment_arguments(self, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        given = {argument.split("=", 1)[0] for argument in arguments}
        found: list[str] = []
        for action in self._actions:
            flags = [option for option in action.option_strings if option.startswith("--")]
            if not flags or flags[0] in ("--help", "--version") or given.intersection(flags):
                continue
            value = environment.get(self.variable(flags[0]))
            if value is not None:
                self._from_environment[flags[0]] = self.variable(flags[0])
                found += self._as_arguments(action, flags, value)
        return found

    def _as_arguments(self, action: argparse.Action, flags: list[str], value: str) -> list[str]:
        if isinstance(action, argparse.BooleanOptionalAction):
            choices = {"true": flags[0], "false": flags[1]}
            if value not in choices:
                self.fail(flags[0], f"invalid value {value!r} (true or false)")
            return [choices[value]]
        values: list[Any] = value.split() if _repeatable(action) else [value]
        return [f"{flags[0]}={one}" for one in values]


def _repeatable(action: argparse.Action) -> bool:
    return type(action).__name__ == "_AppendAction"
