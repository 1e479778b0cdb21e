"""The DaemonSet beside virt-handler: hears the agents of its node and publishes what follows."""

import os

# gRPC's C library writes to standard error past all that is done to a log, and a peer's words as they are: a GOAWAY
# could forge lines and fill a disk. What goes wrong there is raised as an error too. It is read as gRPC is imported.
# Goes with docs/upstream/grpc-stderr.md.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
