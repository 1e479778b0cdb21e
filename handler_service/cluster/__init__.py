"""Wires the handler on a node of a cluster: VMI watches, pod endpoints, publishers."""
