"""Random products of attacks, on one to sixty sockets at once, beside twenty honest VMs.

Each attack alone is bounded by tests/hostile/test_launcher.py. This run looks for the products: of sockets, of attacks
on one socket, and of attacks with the work that the handler does for others. A seed repeats a run's plan.
"""
