"""What becomes of each block and gate: dropped, always open, or deciding."""
