"""The DaemonSet next to virt-handler: receives the reports of its node's agents and publishes each VMI's sessions."""

import os

# gRPC's C library bypasses this program's log: it writes a peer's text unescaped to standard error, so a GOAWAY could
# forge lines and fill a disk. gRPC raises these errors as exceptions too. It reads the variable when it is imported.
# Goes with docs/upstream/grpc-stderr.md.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
