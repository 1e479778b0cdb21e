"""Tests of what a real API server decides: schemas, policies, tokens, garbage collection, and its own absence."""
