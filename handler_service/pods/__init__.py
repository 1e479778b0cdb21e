"""The edge towards the kubelet's pods directory: a socket in each launcher pod of this node."""
