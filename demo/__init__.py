"""Demonstrates the product in half a minute: a VM, viewers that come and go, and the VMI's status that follows them.

`python -m demo` is also a smoke test: it checks every value that it shows and fails on an unexpected one.
It uses the tests' support, so all parts are real: libvirt, QEMU, VNC clients, and both programs as processes.
"""
