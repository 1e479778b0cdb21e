"""The edge towards the API server: a client, a list-watch, and the objects that this handler reads and writes."""
