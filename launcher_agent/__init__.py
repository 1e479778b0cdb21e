"""The sidecar in a launcher pod: counts the VM's VNC sessions and reports them to the handler of its node.

Packages and modules:

    vm           follows the domain on libvirt's events, and asks QEMU where events prove nothing
    sessions     computes from events and answers which clients are connected; pure
    state        the present state: `vm` writes it, `reporting` and `admin` read it
    reporting    the stream to the handler, with its messages and its state machine
    admin        the debug API on a unix socket
    events       the events of a VM's display and domain, as this program's own types
    backoff      when to dial the handler again after a stream has ended
    config       the configuration; `command_line` parses and checks flags, if there are any
    errors       the errors of this program
    main         connects the parts and ends them; `container` starts it in the image
"""

import os

# gRPC's C library bypasses this program's log: it writes a peer's text unescaped to standard error, so a GOAWAY could
# forge lines and fill a disk. gRPC raises these errors as exceptions too. It reads the variable when it is imported.
# Goes with docs/upstream/grpc-stderr.md.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
