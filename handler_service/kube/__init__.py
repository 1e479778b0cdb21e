"""Talks to the API server: a client, a list-watch, and the objects that the handler reads and writes."""
