#!/usr/bin/env bash
# Removes what the other scripts and their tools made in this tree (what .gitignore lists), and nothing else.
. "$(dirname "$0")/common.sh"

rm -rf .venv .setup.lock .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
