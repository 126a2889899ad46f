"""What a SavedModel serves, and how its folder is written.

Imports `transforms`.
"""
