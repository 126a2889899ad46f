"""Pages and plots of a run, or of a comparison.

Imports the other rooms.
"""
