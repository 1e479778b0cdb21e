"""The documentation's pages in a real browser."""
