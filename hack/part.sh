#!/usr/bin/env bash
# Runs one part of `make test`: hack/part.sh PART [PYTEST ARGUMENT...]
. "$(dirname "$0")/common.sh"
export PATH=$VENV/bin:$PATH
# Wide enough for the name of a failed test and the reason beside it, also without a terminal.
export COLUMNS=${COLUMNS:-160}
start=$SECONDS

part=${1:?usage: hack/part.sh PART [PYTEST ARGUMENT...]}
shift
case $part in
  lint) title='every check that runs nothing: types, style, imports, API, generated code, lock files, scripts' ;;
  unit) title='the rules of both programs, in memory and in virtual time' ;;
  monitoring) title='metrics, alerts and dashboard, checked by Prometheus' ;;
  docs) title='the documentation in a real browser, as wide as a laptop and as a phone' ;;
  simulation) title="both programs in a simulated world: ${HISTORIES:-2000} histories of faults, and planted bugs" ;;
  libvirt) title='both programs against a real libvirt and QEMU of their own' ;;
  host) title='without a cluster or root: one libvirt host and the demo, on a bare Debian 12 and 13' ;;
  apiserver) title='the handler against a real kube-apiserver and etcd' ;;
  faults) title='every program is killed, frozen and restarted, and the promises are kept' ;;
  hostile) title='hostile peers, messages of other releases, and malformed bytes' ;;
  node) title='the images as deployed, on a real Kubernetes node' ;;
  bench) title='each benchmark, small and for a few rounds, so that it still runs' ;;
  kubevirt) title='on a real, unmodified KubeVirt with two nodes' ;;
  *) die "unknown part $part" ;;
esac

case $part in
  host | kubevirt | node)
    ((EUID == 0)) || die "$part: its machines are made of mounts and cgroups, which needs root; make check needs none"
    ;;
esac

case $part in
  hostile) where=(tests/hostile tests/skew tests/fuzz) ;;
  *) where=("tests/$part") ;;
esac
# Files that are named stand for the whole part.
for argument; do
  [[ $argument != tests/* ]] || where=()
done

printf '\n=== %s: %s\n' "$part" "$title"
# What the tests would have to wait for is built before their time limits start. The tests of other parts go first.
nice -n 10 python -m hack.builds parts "$part"
# Each test has a time limit, but a fixture that hangs while it ends is not covered by it. No part takes half of this.
tests() { timeout --foreground --kill-after=60 --signal=INT 2400 python -m pytest "$@"; }
# The unit tests wait as much as they compute, so two processes share them, except if arguments choose some of them. The
# output of the second is printed at the end.
unit_tests() {
  if (($#)); then
    tests "${where[@]}" "$@"
    return
  fi
  local status=0
  rest=$(mktemp)
  trap 'rm -f "$rest"' EXIT
  tests tests/unit --ignore=tests/unit/handler > "$rest" 2>&1 &
  tests tests/unit/handler || status=$?
  wait $! || status=$?
  cat "$rest"
  return $status
}
case $part in
  lint) hack/lint.sh ;;
  unit) unit_tests "$@" ;;
  simulation) tests "${where[@]}" --histories="${HISTORIES:-2000}" "$@" ;;
  *) tests "${where[@]}" "$@" ;;
esac
printf '=== %s: passed in %d s\n' "$part" $((SECONDS - start))
