"""Exports the handler's state to Prometheus. Each scrape reads the state as it is at that moment.

This package counts nothing, so a scrape cannot disagree with the status service, and a VMI's series end with the VMI.
docs/metrics.md lists the names with their meaning.
"""
