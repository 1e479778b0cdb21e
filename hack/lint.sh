#!/usr/bin/env bash
# Runs every check of the source, all at the same time. The results are printed in the order below; the output of a check
# is printed if it fails, and a failure does not stop the others.
#
#   hack/lint.sh 'ruff' 'mypy'    runs only the checks whose name contains one of these words, as the hooks of git do
. "$(dirname "$0")/common.sh"
export PATH=$VENV/bin:$PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- checks of our own ------------------------------------------------------------------------------------------------

# Generated code is reproduced, never edited: what is committed is what the generators make of the .proto files.
generated_code() {
  mkdir "$work/committed" "$work/generated"
  find servicestatus -name '*_pb2*.py*' -not -path '*/__pycache__/*' -exec cp --parents {} "$work/committed" \;
  hack/gencode.sh "$work/generated" || return
  diff -rq "$work/committed" "$work/generated" || { echo 'run: make gencode' && return 1; }
}

# Two pages about the companion object are written from its CRD.
companion_pages() {
  mkdir "$work/pages"
  python hack/companion_reference.py "$work/pages/companion-api.md" || return
  python hack/companion_go.py "$work/pages/companion-go.md" || return
  local page
  for page in "$work"/pages/*; do
    diff "docs/${page##*/}" "$page" || { echo 'run: make gencode' && return 1; }
  done
}

# The tables of numbers in docs/ are written from the code.
reference_tables() { python hack/reference_tables.py --check; }

# The released API is a file in this tree, so that the check needs neither tags nor network.
compatible_api() {
  [[ -f proto/released/v1.binpb ]] || { echo 'there is no released API; run: make release-descriptor' && return 1; }
  buf breaking --against proto/released/v1.binpb
}

types() {
  local folder
  local -a code
  for folder in servicestatus launcher_agent handler_service controller injection_webhook testbed tests demo bench hack; do
    if compgen -G "$folder/*.py" > /dev/null; then code+=("$folder"); fi
  done
  mypy --no-error-summary "${code[@]}"
}

# Two sets of imports: the programs may use only what an image installs, everything else the groups for development too.
dependencies() {
  deptry --no-ansi servicestatus launcher_agent handler_service controller injection_webhook \
    && deptry --no-ansi --ignore DEP002,DEP004 testbed tests demo bench hack
}

# Generated files, hashes and pictures hold no words. pyproject.toml lists what codespell takes for mistakes.
spelling() { git ls-files -z -- '*.py' '*.sh' '*.proto' '*.md' '*.toml' '*.yaml' Makefile 'Dockerfile.*' | xargs -0 codespell; }

# --- all at once ------------------------------------------------------------------------------------------------------

chosen=("$@")
is_chosen() {
  local word
  for word in "${chosen[@]}"; do if [[ $1 == *"$word"* ]]; then return 0; fi; done
  ((${#chosen[@]} == 0))
}

names=() pids=()
check() {
  local name=$1 start=$EPOCHREALTIME
  shift
  is_chosen "$name" || return 0
  names+=("$name")
  {
    "$@" > "$work/$name" 2>&1
    local status=$?
    echo "$(((${EPOCHREALTIME/./} - ${start/./}) / 100000))" > "$work/$name.time"
    exit "$status"
  } &
  pids+=("$!")
}

# Errors are counted from here on, not fatal where they happen.
set +e
progress lint
check 'types (mypy)' types
check 'style (ruff check)' ruff check --quiet
check 'format (ruff format)' ruff format --quiet --diff
check 'imports (import-linter)' lint-imports --no-cache --no-logo
check 'API style (buf lint)' buf lint
check 'API unbroken (buf breaking)' compatible_api
check 'generated code' generated_code
check 'companion pages' companion_pages
check 'tables of numbers' reference_tables
check 'documentation (mkdocs)' mkdocs build --strict --site-dir "$work/site"
check 'lock files' python hack/check_locks.py
check 'declared imports (deptry)' dependencies
check 'spelling (codespell)' spelling
check 'words (check_words.py)' python hack/check_words.py
check 'shell scripts (shellcheck)' shellcheck hack/*.sh tests/kubevirt/image/*.sh tests/node/launcher/*.sh tests/vm/*.sh hack/images.d/{unpack-debian,install-python,finish-layers} .ci/run

((${#names[@]} > 0)) || die "lint: no check has one of these words in its name: $*"
failed=0
for i in "${!names[@]}"; do
  name=${names[i]} answer=ok
  wait "${pids[i]}" || { answer=FAILED && failed=$((failed + 1)); }
  tenths=$(< "$work/$name.time")
  printf '%-6s  %-30s %3d.%d s\n' "$answer" "$name" $((tenths / 10)) $((tenths % 10))
  if [[ $answer == FAILED ]]; then sed 's/^/        /' "$work/$name"; fi
done
end_progress
((failed == 0)) || die "lint: $failed of ${#names[@]} checks failed"
