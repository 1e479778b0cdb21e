"""The webhook that adds the agent to launcher pods where the API server cannot do it by a policy."""
