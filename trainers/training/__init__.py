"""A training run, from its settings to the files of its folder.

Imports `settings`.
"""
