#!/usr/bin/env bash
# Writes requirements/*.txt again: the newest versions that pyproject.toml admits, for every Python from 3.11 on, each
# with the hashes of its files and without the place that they come from.
#
#   build.txt    what pip needs to build the rest        go.txt    the Go of hack/builds where the machine has none
#   fuzz.txt     what `make fuzz` alone needs            release.txt    what `make release` alone needs
#   docs.txt     what `make docs` alone needs            agent.txt, handler.txt    what each image installs
#   dev.txt      everything, for .venv
. "$(dirname "$0")/common.sh"

export UV_CUSTOM_COMPILE_COMMAND='make requirements'
compile() {
  "$VENV/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links "$@"
}

say 'requirements: resolving (10 s)'
progress 'requirements'
compile pyproject.toml --all-extras --group build --group dev --output-file requirements/dev.txt
# What was tested is what ships: the others take their versions from dev.txt.
compile pyproject.toml --extra agent --constraints requirements/dev.txt --output-file requirements/agent.txt
compile pyproject.toml --extra handler --constraints requirements/dev.txt --output-file requirements/handler.txt
compile --group build --constraints requirements/dev.txt --output-file requirements/build.txt
compile --group docs --constraints requirements/dev.txt --output-file requirements/docs.txt
compile --group go --output-file requirements/go.txt
compile --group fuzz --output-file requirements/fuzz.txt
compile --group release --output-file requirements/release.txt
end_progress
