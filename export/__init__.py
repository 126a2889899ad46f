"""From a trained network to the files that servers and devices run.

Imports `pgates`, `image_data`, `run_data` and `file_io`, never `trainers`.
"""
