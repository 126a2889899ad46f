"""What trained gates decide: strategies, and what they measure and remove.

Imports `layers`, `costs` and `training`.
"""
