"""Gates, the residual blocks that they bypass, and what those are made of.

Imports nothing else of ours.
"""
