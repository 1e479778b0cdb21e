"""Measures what the pair costs beside what a KubeVirt developer would have written in Go: `make bench`."""
