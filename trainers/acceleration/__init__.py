"""From a trained network to a faster one, by the programs that there are.

Imports `settings`.
"""
