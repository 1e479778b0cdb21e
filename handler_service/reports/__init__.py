"""What the agents reported, and what follows for each VMI. Pure."""
