"""Evaluation of a run's network under strategies.

Imports `settings` and `training`.
"""
