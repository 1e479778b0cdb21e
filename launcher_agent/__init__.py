"""The sidecar beside a VM: it watches who is connected over VNC and tells the handler of its node.

Layers, each importing only those before it:

    events, bounds, sessions, observation    pure: no I/O, no clock, no randomness of their own
    messages, report_protocol, retry         pure: one stream as a state machine, in terms of the contract
    state                                    the newest truth, shared by the edges
    libvirt_source, watch, stream, admin     edges: libvirt, the supervising loops, gRPC
    config, main                             wiring
"""
