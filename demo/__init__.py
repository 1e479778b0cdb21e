"""The product in half a minute: a VM, viewers that come and go, and the VMI's status that follows them.

`python -m demo` is a smoke test too: it looks at what it shows, and ends with an error where that is not what it says.
It uses the tests' support, so the parts are real: libvirt, QEMU, VNC clients, and both programs as processes.
"""
