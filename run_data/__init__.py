"""Which data a run was trained on: recorded, found again, and checked.

Imports `image_data` and `file_io`; who reads a run's folder imports this.
"""
