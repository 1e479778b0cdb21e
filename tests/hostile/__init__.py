"""What whoever has taken over one end of the stream can do to the other: real programs, measured."""
