"""libvirt and QEMU: connections, domain events, graphics events, and queries to QEMU."""
