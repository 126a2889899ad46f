"""Programs that measure, and in `results/` what they wrote.

Imports everything but the tests.
"""
