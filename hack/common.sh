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

# Says every so many seconds that something is still at work, until `settle` or the script's end: `patience WHAT [20]`. On
# standard error, in whole lines, so that it reads as well in a log of CI as at a terminal. It waits at a pipe that ends
# with the script, however that ends: a `sleep` would hold the script's output open, and a script that its parent has not
# waited for yet still has a pid.
patience() {
  settle
  local what=$1 every=${2:-20}
  exec {PATIENT}> >(
    exec > /dev/null 9>&- # neither the script's answer nor its lock
    start=$SECONDS next=$every
    while
      status=0
      read -rt 1 || status=$?
      ((status > 128)) # the second is over; else the pipe is
    do
      if ((SECONDS - start >= next)); then
        say "$what: still at it ($((SECONDS - start)) s)"
        next=$((next + every))
      fi
    done
  )
  PATIENT_PID=$!
}
settle() {
  if [[ -n ${PATIENT:-} ]]; then
    exec {PATIENT}>&-
    kill "$PATIENT_PID" 2> /dev/null || true # what the script has started may hold the pipe as well
  fi
  PATIENT=
}

# Messages go to standard error: what a script answers with on standard output can be captured.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
