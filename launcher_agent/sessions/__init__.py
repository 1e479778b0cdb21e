"""Who is connected, as far as events and answers of QEMU prove. Pure."""
