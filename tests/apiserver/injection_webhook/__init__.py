"""The webhook beside a real API server: what it is asked, what it answers, and that a pod always passes."""
