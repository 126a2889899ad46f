"""`GatedModel`: its losses, steps, metrics, optimizers and callbacks.

Imports `layers` and `costs`.
"""
