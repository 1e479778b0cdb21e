"""Kubernetes events about VMIs: which are worth one, and how they are written."""
