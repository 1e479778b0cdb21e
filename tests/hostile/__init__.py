"""What an attacker at one end of the stream can do to the other end: real programs, measured."""
