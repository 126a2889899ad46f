"""Residual blocks found in anybody's functional network, and gated.

Imports `layers`, `costs` and `training`.
"""
