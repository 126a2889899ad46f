"""The settings of a run: one record, its flags, and presets.

Imports nothing else of `trainers`.
"""
