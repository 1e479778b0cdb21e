#!/usr/bin/env bash
# Measures the agent and the handler beside their peer in Go: hack/bench.sh [--only NAME]... [--against REVISION]
. "$(dirname "$0")/common.sh"
"$VENV/bin/python" -m hack.builds parts bench
exec "$VENV/bin/python" -m bench "$@"
