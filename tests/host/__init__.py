"""Tests of one libvirt host without a cluster: Debian with systemd as process 1, libvirt, QEMU, and the units."""
