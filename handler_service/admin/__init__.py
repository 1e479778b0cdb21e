"""The handler's debug API."""
