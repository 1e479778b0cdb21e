#!/usr/bin/env bash
# Fuzzes all parsers of foreign bytes, guided by coverage: hack/fuzz.sh INPUTS [TARGET...]
# atheris stays out of .venv, since it is compiled, and not for every Python that the tests run with.
. "$(dirname "$0")/common.sh"

atheris=$VENV/fuzz
if [[ $(cat "$atheris/.key" 2> /dev/null) != "$(sha256sum < requirements/fuzz.txt)" ]]; then
  "$VENV/bin/python" -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --no-deps \
    --only-binary :all: --upgrade --target "$atheris" -r requirements/fuzz.txt
  sha256sum < requirements/fuzz.txt > "$atheris/.key"
fi
PYTHONPATH=$atheris exec "$VENV/bin/python" -m tests.fuzz "$@"
