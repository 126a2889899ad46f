"""Programs that train, evaluate, compare and report; their parts in rooms.

Imports `pgates`, `image_data`, `run_data` and `file_io`.
"""

from file_io import library_messages

library_messages.hide_startup()
