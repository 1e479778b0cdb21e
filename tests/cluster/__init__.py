"""Real Kubernetes for the tests: a bare control plane (`control_plane`), and clusters with nodes that run pods."""
