"""Networks made anew for inference: folded, constant, in float32.

Imports nothing else of `export`.
"""
