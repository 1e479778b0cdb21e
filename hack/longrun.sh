#!/usr/bin/env bash
# Runs a test of any length: hack/longrun.sh chaos|soak|attack|headroom. The variables MINUTES and SEED choose how long it
# takes and which faults or attacks it has.
. "$(dirname "$0")/common.sh"
export PATH=$VENV/bin:$PATH

run=${1:?usage: hack/longrun.sh chaos|soak|attack|headroom}
case $run in
  attack) python -m hack.builds parts hostile && exec python -m tests.hostile.combined ;;
  headroom) python -m hack.builds parts hostile && exec python -m tests.hostile.headroom ;;
  *) python -m hack.builds parts faults && exec python -m tests.faults "$run" ;;
esac
