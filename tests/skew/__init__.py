"""Compatibility between releases: bytes and dialogues of the first release, and those of releases to come."""
