"""The Deployment beside the DaemonSet: marks the values that an absent handler no longer vouches for."""
