"""How much of its memory limit an agent needs at most: the worst storm of viewers, and handlers that are hostile.

Each behaviour of a handler alone is bounded by tests/hostile/test_handler.py, without a VM. Here a real libvirt and
QEMU send events as fast as viewers come and go, other services are polled, hostile handlers and the real one
alternate, and the agent has the CPU and 70 % of the memory that the manifest permits. A seed repeats a run's plan.
"""
