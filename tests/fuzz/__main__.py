"""`python -m tests.fuzz INPUTS [TARGET...]` shares the inputs among the targets; coverage guides their choice.

It uses atheris (requirements/fuzz.txt), in a process for each target. An input that breaks a promise is written to
tests/fuzz/found, and belongs into test_findings.py.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOUND = Path(__file__).parent / "found"
#: A parser of foreign bytes needs milliseconds; seconds mean quadratic time.
SLOWEST = 5


def one(name: str, inputs: int, corpus: Path) -> None:
    """Run one target in its own process, which atheris ends."""
    import atheris  # noqa: PLC0415  # a tool of `make fuzz`, absent elsewhere

    with atheris.instrument_imports(include=["handler_service", "launcher_agent", "servicestatus"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-runs={inputs}", "-max_len=4096", f"-timeout={SLOWEST}", "-rss_limit_mb=1024", "-verbosity=0"]
    atheris.Setup([name, *limits, f"-artifact_prefix={FOUND}/{name}-", str(corpus)], TARGETS[name].run)
    atheris.Fuzz()


def main(inputs: int, names: list[str]) -> int:
    """Return how many targets failed."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415  # not before atheris, in the processes of one()

    FOUND.mkdir(exist_ok=True)
    names = names or list(TARGETS)
    failed = 0
    for name in names:
        start, share = time.monotonic(), inputs // len(names)
        with tempfile.TemporaryDirectory() as corpus:
            argv = [sys.executable, "-m", "tests.fuzz", "--one", name, str(share), corpus]
            status = subprocess.run(argv, check=False).returncode
        line = f"{name:<20} {share:>8} inputs  {time.monotonic() - start:6.1f} s  {'FAILED' if status else 'ok'}\n"
        sys.stdout.write(line)
        sys.stdout.flush()
        failed += bool(status)
    return failed


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        one(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
