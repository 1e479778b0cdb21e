#!/usr/bin/env bash
# Measures the pair beside its peer in Go: hack/bench.sh [--only NAME]... ; everything that has to be built is built before.
. "$(dirname "$0")/common.sh"
hack/gotools --wait "${APISERVER_TOOLS[@]}" > /dev/null
hack/images > /dev/null
hack/peer > /dev/null
exec "$VENV/bin/python" -m bench "$@"
