"""The sidecar beside a VM: it watches who is connected over VNC and tells the handler of its node.

Layers; none looks up:

    events bounds question sessions observation                        what happens, and what follows from it
    domain_xml domains vnc_query                                       what libvirt and QEMU say, read with care
    messages deltas terms report_protocol retry                        the same in the contract's words
    state inbox threads connection                                     what the edges share
    graphics_events libvirt_source reconciler watch watcher            libvirt's edge
    stream status admin                                                gRPC's edge
    config version main                                                the program
"""

import os

# gRPC's C library writes to standard error past all that is done to a log, and a peer's words as they are: a GOAWAY
# could forge lines and fill a disk. What goes wrong there is raised as an error too. It is read as gRPC is imported.
# Goes with docs/upstream/grpc-stderr.md.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
