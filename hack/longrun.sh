#!/usr/bin/env bash
# Runs one of the tests that take as long as one likes: hack/longrun.sh chaos|soak; MINUTES and SEED in the environment.
. "$(dirname "$0")/common.sh"
export PATH=$VENV/bin:$PATH

hack/gotools --wait "${APISERVER_TOOLS[@]}" "${LIBVIRT_TOOLS[@]}" > /dev/null
exec python -m tests.faults "${1:?usage: hack/longrun.sh chaos|soak}"
