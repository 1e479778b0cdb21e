"""A program of its own that opens launcher pods' directories, and passes listening sockets to the handler.

It is the only one that may enter the kubelet's directory, and it reads no byte that a pod sends. It imports little:
its memory is needed on every node.
"""
