"""Memory that a step frees is kept for the next one.

Each tensor of a training step is memory that is asked for and freed. What has
more than some hundred kilobytes glibc's `malloc` gives back to the system each
time, which then clears the same pages anew at the next step: on two cores that
took a tenth to a fifth of the time of a step (`benchmarks.freed_memory`).
"""

import ctypes
import os

# Of `mallopt` in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
# Of these, glibc keeps what is set in the environment of a process.
_VARIABLES = (
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_"),
    "GLIBC_TUNABLES",
)


def keep() -> bool:
  """Lets this process keep the memory that it frees, up to its peak so far.

  For programs; a library leaves it to the process that it is in. Where the
  environment says how memory is to be kept, that holds.

  Returns:
    Whether something was set; False without glibc, as on macOS.
  """
  if any(name in os.environ for name in _VARIABLES):
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is None:
    return False
  # No block is mapped alone, heaps grow by so much at once, and never shrink.
  values = {
      _MMAP_THRESHOLD: 2**30,
      _TOP_PAD: 2**26,
      _TRIM_THRESHOLD: 2**31 - 1,
  }
  return all([mallopt(name, value) for name, value in values.items()])
