# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts that source it
# Sourced by every script here: where things are, and how to talk. Scripts run in the root of the tree.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vmi-service-status
cd "$ROOT"

# The Go programs that parts of the test suite start.
LIBVIRT_TOOLS=(grpcurl)
APISERVER_TOOLS=(etcd kube-apiserver kube-controller-manager kubectl)
NODE_TOOLS=("${APISERVER_TOOLS[@]}" kubelet kube-scheduler kube-proxy containerd containerd-shim-runc-v2 ctr)

# Says every 20 s that something is still at work, until `settle` or the script's end: `patience WHAT`. On standard error,
# in whole lines, so that it reads as well in a log of CI as at a terminal. The subshell waits without a process of its
# own (a `sleep` would outlive it and hold the output open), and looks each second whether the script still lives.
patience() {
  settle
  local what=$1 start=$SECONDS
  (
    trap - EXIT
    exec 9>&- # the lock is the script's
    next=20
    while kill -0 $$ 2> /dev/null; do
      read -rt 1 <> <(:) || true
      ((SECONDS - start < next)) || { say "$what: still at it ($((SECONDS - start)) s)" && next=$((next + 20)); }
    done
  ) < /dev/null > /dev/null &
  PATIENT=$!
}
settle() {
  if [[ -n ${PATIENT:-} ]]; then
    kill "$PATIENT" 2> /dev/null || true
    wait "$PATIENT" 2> /dev/null || true
  fi
  PATIENT=
}

# Messages go to standard error: what a script answers with on standard output can be captured.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
