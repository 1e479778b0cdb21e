"""Tests against a real libvirt and real QEMUs."""
