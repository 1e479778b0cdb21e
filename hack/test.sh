#!/usr/bin/env bash
# Runs parts of the test suite: hack/test.sh PART... Two at a time, since most of them wait (for leases, a kubelet, a
# VM's start) more than they compute; each line of output begins with its part's name. JOBS=1 runs one after the other.
# Parts start in the given order; the Makefile's has short ones last, so that no long one runs alone at the end.
# After a failure no further part starts; the parts that run already run to their end, so that they leave nothing behind.
# Each part builds what it needs; while the first parts run, the needs of the others are built in the background.
. "$(dirname "$0")/common.sh"
# A job of its own process group can be ended whole, and does not ignore Ctrl-C as bash's background jobs do otherwise.
set -m

jobs=${JOBS:-$(($(nproc) > 1 ? 2 : 1))}
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "test: JOBS=$jobs is not a number of parts to run at once"
builds=
if (($# > jobs)); then builds=$("$VENV/bin/python" -m hack.builds --background parts "${@:jobs+1}"); fi
declare -A part_of=() started=()
logs=$(mktemp -d)
summary=
failed=

interrupt() {
  for job in "${!part_of[@]}"; do kill -INT -- "-$job" 2> /dev/null || true; done
  wait
  exit 130
}
finish() {
  local status=$?
  # If all parts passed, the last one has waited for this.
  [[ -z $builds ]] || kill -- "-$builds" 2> /dev/null || true
  # If only the end of the output is kept, it must name the tests that failed.
  grep -hE '\| (FAILED |ERROR tests/)' "$logs"/* || true
  rm -rf "$logs"
  printf '\n%-10s  %-7s  %s\n%s' part result time "$summary"
  printf '%-10s  %-7s  %4d s\n' all "$([[ $status == 0 ]] && echo passed || echo FAILED)" $SECONDS
  exit "$status"
}
trap interrupt INT TERM
trap finish EXIT

start() {
  (hack/part.sh "$1" 2>&1 | sed -u "s/^/$(printf '%-10s' "$1")| /" | tee "$logs/$1") < /dev/null &
  part_of[$!]=$1 started[$!]=$SECONDS
}

# Waits for any part to end, and adds its result to the summary.
reap() {
  local job result=passed
  wait -n -p job || result=FAILED failed=1
  summary+=$(printf '%-10s  %-7s  %4d s' "${part_of[$job]}" $result $((SECONDS - started[$job])))$'\n'
  unset "part_of[$job]"
}

for part in "$@"; do
  while ((${#part_of[@]} >= jobs)); do reap; done
  [[ -z $failed ]] || break
  start "$part"
done
while ((${#part_of[@]} > 0)); do reap; done
[[ -z $failed ]]
