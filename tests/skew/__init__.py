"""What is between releases: bytes and dialogues of the first one, kept for ever, and those of releases to come."""
