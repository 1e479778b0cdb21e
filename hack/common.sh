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

# Messages go to standard error: what a script answers with on standard output can be captured.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
