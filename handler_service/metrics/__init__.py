"""The edge towards Prometheus: reads what the handler keeps anyway, at the moment of a scrape.

Nothing is counted here, so a scrape cannot disagree with the status service, and a VMI's series end with the VMI. The
names and what each means for whom: docs/metrics.md.
"""
