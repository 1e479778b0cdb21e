"""The stream to the handler: protocol state machine, encoding, settings, and the gRPC edge."""
