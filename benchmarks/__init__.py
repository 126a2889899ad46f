"""Programs that measure, and in `results/` what they wrote.

Imports everything but the tests.
"""

from file_io import library_messages

library_messages.hide_startup()
