"""The real parts that tests and demo are made of: libvirt, QEMU, VNC clients, the two programs as processes.

Nothing here pretends to be something else, and nothing here knows pytest, so that the demo can use it too. Everything
is synchronous and may be called from any thread: asynchronous callers use `asyncio.to_thread`.
"""
