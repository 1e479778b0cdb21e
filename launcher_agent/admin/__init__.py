"""The agent's debug API on a unix socket."""
