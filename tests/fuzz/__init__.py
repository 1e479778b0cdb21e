"""Every parser of foreign bytes, with malformed and random input."""
