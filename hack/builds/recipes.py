"""Checks (gofmt, vet) and builds the Go programs in docs/, with the client-go that tests/cluster pins."""

import sys
import tempfile
from pathlib import Path

from hack.builds import go
from hack.builds.cache import Store, key_of
from hack.builds.commands import BuildError, output, run

MODULE = go.GO_MOD.parent
STORE = Store("recipes")
FLAGS = go.Build()
#: A part of each program.
TYPES = "companion.go"


def build() -> Path:
    """Return the folder with the sources and, beside each, its program."""
    with tempfile.TemporaryDirectory() as folder:
        run([sys.executable, "-m", "testbed.recipes", folder])
        sources = {path.name: path.read_text() for path in sorted(Path(folder).iterdir())}
    pinned = ((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    key = key_of(go.find().version, *pinned, str(FLAGS), *(f"{name}\n{text}" for name, text in sources.items()))
    return STORE.obtain(
        key,
        lambda new: _make(new, sources),
        what="the Go programs of docs/",
        estimate="10 s; a minute if Go has nothing in its cache",
    )


def _make(folder: Path, sources: dict[str, str]) -> None:
    compiler = go.find().ensured()
    folder.mkdir()
    for name, text in sources.items():
        (folder / name).write_text(text)
    if difference := output([compiler.gofmt, "-d", folder]):
        raise BuildError(f"docs/ has a Go program that gofmt would write differently:\n{difference}")
    for name in sources.keys() - {TYPES}:
        program = [folder / name, folder / TYPES]
        run(compiler.command(MODULE, "vet", *program), environment=FLAGS.environment)
        FLAGS.run(compiler, MODULE, (folder / name).with_suffix(""), program)
