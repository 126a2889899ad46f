"""Keeps what TensorFlow's libraries say of themselves off standard error.

They write to file descriptor 2 past all logging, most of it while they are
loaded. So a process of its own reads there for as long as TensorFlow is
imported and looks for devices: it drops the messages that are known and passes
all else on, also if the import crashes. What is known to come later is written
ahead of time, while it is looked for.

Imports nothing else, for it runs before all other imports.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import ctypes
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import types
import warnings

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# Error 303: the machine has no driver for GPUs at all. Other failures of
# `cuInit` are of machines that have one, and are shown. The last three are of
# TF-Lite: its interpreter, and its quantizer.
_KNOWN = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called"
    rb"|I\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] "
    rb"|To enable the following instructions: "
    rb"|E\d{4} .* cuda_platform\.cc:\d+\] .*: UNKNOWN ERROR \(303\)\s*$"
    rb"|E\d{4} .* util\.cc:\d+\] oneDNN supports DT_\w+ only on platforms with "
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate for CPU\."
    rb"|fully_quantize: \d+, inference_type: \d+, "
    rb"|W\d{4} .* lite\.py:\d+\] Buffer deduplication procedure "
)
# Converting to int8 makes an interpreter of this kind, whatever one does.
_DEPRECATION = r"\s*Warning: tf\.lite\.Interpreter is deprecated"
# void tensorflow::DataTypeUnsupportedWarning(const tensorflow::DataType&)
_UNSUPPORTED = "_ZN10tensorflow26DataTypeUnsupportedWarningERKNS_8DataTypeE"
_UINT8 = ctypes.c_int(4)  # Of tensorflow::DataType.


def hide_startup() -> None:
  """Sees to it that TensorFlow, once it is imported, starts silently.

  Its warnings are hidden later on too, its errors never. With the environment's
  `TF_CPP_MIN_LOG_LEVEL=0` all is shown.
  """
  os.environ.setdefault(_LEVEL, "2")
  if "tensorflow" not in sys.modules and _FINDER not in sys.meta_path:
    sys.meta_path.insert(0, _FINDER)


@contextlib.contextmanager
def filtered() -> Iterator[None]:
  """Drops known messages from what is written to file descriptor 2 in here."""
  if os.environ.get(_LEVEL) == "0" or sys.stderr is None:  # It is closed.
    yield
    return
  sys.stderr.flush()
  shown = os.dup(2)
  # By its path, so that nothing else is imported. Ctrl-C is not for the reader.
  reader = subprocess.Popen(
      [sys.executable, "-I", "-S", __file__],
      stdin=subprocess.PIPE,
      start_new_session=True,
  )
  os.dup2(reader.stdin.fileno(), 2)
  reader.stdin.close()
  try:
    with warnings.catch_warnings():
      warnings.filterwarnings("ignore", _DEPRECATION, UserWarning)
      yield
  finally:
    sys.stderr.flush()
    os.dup2(shown, 2)
    os.close(shown)
    reader.wait()


class _Finder(importlib.abc.MetaPathFinder):
  """Wraps the first import of TensorFlow, by whichever module that is."""

  def find_spec(
      self, fullname: str, path=None, target=None
  ) -> importlib.machinery.ModuleSpec | None:
    if fullname != "tensorflow":
      return None
    sys.meta_path.remove(self)
    spec = importlib.util.find_spec(fullname)
    if spec is not None:
      # Of this one loader, which stays what others expect it to be.
      spec.loader.exec_module = functools.partial(
          _import_silently, spec.loader.exec_module
      )
    return spec


_FINDER = _Finder()


def _import_silently(
    exec_module: Callable[[types.ModuleType], None], module: types.ModuleType
) -> None:
  with filtered():
    exec_module(module)
    # Looks for GPUs, which is said, too. It does not yet take them.
    module.config.list_physical_devices()
    _say_what_onednn_lacks()


def _say_what_onednn_lacks() -> None:
  """Has TensorFlow say it now, for it says it once a process.

  On some processors it is said at the first graph with a data type that oneDNN
  does not have there. Nothing is wrong then, yet it is logged as an error. To
  run a graph here would start the devices before the program has set them up.
  """
  # Of the process, for TensorFlow makes its libraries' names global.
  say = getattr(ctypes.CDLL(None), _UNSUPPORTED, None)
  if say is not None:
    say(ctypes.byref(_UINT8))


def main() -> None:
  """Copies standard input to standard error, but for what is known."""
  for line in sys.stdin.buffer:
    if not _KNOWN.match(line):
      sys.stderr.buffer.write(line)
      sys.stderr.buffer.flush()


if __name__ == "__main__":
  main()
