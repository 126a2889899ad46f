"""`export.measure_costs` as one file, for devices without this checkout.

The file holds the program's own sources and runs with NumPy and LiteRT alone.
"""

import os
import pathlib
import zipfile

NAME = "measure_costs.pyz"
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SOURCES = (
    "export/__init__.py",
    "export/measure_costs.py",
    "export/timing/__init__.py",
    "export/timing/block_costs.py",
    "export/timing/block_times.py",
    "export/timing/interleaved.py",
    "export/timing/lite_engine.py",
    "file_io/__init__.py",
    "file_io/artifacts.py",
    "file_io/library_messages.py",
    "file_io/paths.py",
    "file_io/writable.py",
)
_MAIN = """\
from export import measure_costs

measure_costs.main()
"""


def write(path: str | os.PathLike) -> None:
  """Writes the program: `python measure_costs.pyz --output=costs.json`."""
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("__main__.py", _MAIN)
    for name in _SOURCES:
      archive.write(_ROOT / name, name)
