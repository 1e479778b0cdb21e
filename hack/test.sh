#!/usr/bin/env bash
# Runs parts of the test suite one after the other and stops at the first that fails: hack/test.sh PART...
# While the first ones run, the Go programs that the others need are built in the background.
. "$(dirname "$0")/common.sh"

build=$(hack/gotools --background "${LIBVIRT_TOOLS[@]}" "${NODE_TOOLS[@]}")
summary=
finish() {
  local status=$?
  # Nothing to end if all went well: the last part waited for it.
  kill -- "-$build" 2> /dev/null || true
  printf '\n%-10s  %-7s  %s\n%s' part result time "$summary"
  exit "$status"
}
trap finish EXIT

for part in "$@"; do
  start=$SECONDS result=passed
  hack/part.sh "$part" || result=FAILED
  summary+=$(printf '%-10s  %-7s  %4d s' "$part" "$result" $((SECONDS - start)))$'\n'
  [[ $result == passed ]] || exit 1
done
