"""What touches the machine: one device each, synchronous unless it must wait."""
