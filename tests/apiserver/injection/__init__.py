"""How a launcher pod gets its agent: by the policy, and by the policy and the webhook alike."""
