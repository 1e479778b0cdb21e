"""Writes the folder of a release: `make release VERSION=0.1.0`. docs/release.md lists its files and all steps."""
