"""The handler's debug API and its HTTP port."""
