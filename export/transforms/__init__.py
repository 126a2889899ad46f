"""Networks rebuilt for inference: folded, constant, in float32.

Imports nothing else of `export`.
"""
