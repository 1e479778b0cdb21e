"""Every parser of foreign bytes, against bytes that nobody would write."""
