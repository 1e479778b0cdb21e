"""Stores what the agents reported, and derives the status of each VMI. Pure."""
