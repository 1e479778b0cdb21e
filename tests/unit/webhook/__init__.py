"""The injection webhook's rules in memory."""
