"""Kubernetes events about VMIs: which changes become events, and how events are written."""
