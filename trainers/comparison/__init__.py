"""Runs of several methods and seeds, and what they say together.

Imports `settings`, `training` and `evaluation`.
"""
