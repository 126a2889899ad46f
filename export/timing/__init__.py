"""What blocks and whole networks take on this machine, or on another."""
