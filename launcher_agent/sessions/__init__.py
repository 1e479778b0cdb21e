"""Which clients are connected, as far as events and answers of QEMU prove. Pure."""
