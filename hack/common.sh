# shellcheck shell=bash disable=SC2034 # scripts that source this file read what it sets
# Sourced by every script in hack/: sets paths, defines how scripts report, and changes to the root of the tree.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
cd "$ROOT"

# Reports every so many seconds that something still runs, until `end_progress` or the script's end: `progress WHAT [20]`.
# It writes whole lines to standard error, which read as well in a log of CI as at a terminal. It waits at a pipe that the
# kernel closes when the script ends: a `sleep` would hold the script's output open, and the script's pid may outlive it.
progress() {
  end_progress
  local what=$1 every=${2:-20}
  exec {PROGRESS}> >(
    exec > /dev/null 9>&- # neither the script's answer nor its lock
    start=$SECONDS next=$every
    while
      status=0
      read -rt 1 || status=$?
      ((status > 128)) # the second has passed; any other status means that the pipe was closed
    do
      if ((SECONDS - start >= next)); then
        say "$what: still running ($((SECONDS - start)) s)"
        next=$((next + every))
      fi
    done
  )
  PROGRESS_PID=$!
}
end_progress() {
  if [[ -n ${PROGRESS:-} ]]; then
    exec {PROGRESS}>&-
    kill "$PROGRESS_PID" 2> /dev/null || true # a program that the script has started may hold the pipe as well
  fi
  PROGRESS=
}

# Messages go to standard error, so that what a script answers on standard output can be captured.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
