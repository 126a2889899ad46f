"""What is exported: the network, its data, and the names of its classes."""
