#!/usr/bin/env bash
# Runs a test of any length: hack/longrun.sh chaos|soak; the variables MINUTES and SEED choose how long and which faults.
. "$(dirname "$0")/common.sh"
export PATH=$VENV/bin:$PATH

python -m hack.builds parts faults
exec python -m tests.faults "${1:?usage: hack/longrun.sh chaos|soak}"
