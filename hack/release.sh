#!/usr/bin/env bash
# Makes the folder of a release, dist/VERSION: hack/release.sh VERSION [--once]
# SPDX's tools check the bills of materials. They stay out of .venv, since nothing else needs them and the graph library
# that they bring.
. "$(dirname "$0")/common.sh"

tools=$VENV/release
if [[ $(cat "$tools/.key" 2> /dev/null) != "$(sha256sum < requirements/release.txt)" ]]; then
  rm -rf "$tools"
  "$VENV/bin/python" -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --no-deps \
    --only-binary :all: --target "$tools" -r requirements/release.txt
  sha256sum < requirements/release.txt > "$tools/.key"
fi
exec "$VENV/bin/python" -m hack.release "$@"
