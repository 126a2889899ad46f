"""From a trained network to the files that servers and devices run.

Imports `pgates`, `image_data`, `run_data` and `file_io`, never `trainers`.
"""

from file_io import library_messages

library_messages.hide_startup()
