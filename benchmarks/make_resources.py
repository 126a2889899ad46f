"""What `make demo` and `make test` take: time, memory and disk.

    python -m benchmarks.make_resources benchmarks/results/make_resources.json

Both run as a newcomer would run them, in a checkout whose `.venv` is installed;
the demo writes into an empty folder. What they print goes to the terminal.
"""

import os
import pathlib
import resource
import subprocess
import tempfile
import time

from absl import app

from benchmarks import environment
from file_io import artifacts

_ROOT = pathlib.Path(__file__).parent.parent


def measure(command, folder):
  """Runs a command to its end.

  Args:
    command: list of strings, to be run in the checkout.
    folder: that it writes into.

  Returns:
    A dict for JSON: `seconds`; `peak_process_bytes`, of the largest of its
    processes, or of one before it that was larger; `written_bytes`, what is in
    the folder.

  Raises:
    subprocess.CalledProcessError: if it fails.
  """
  start = time.monotonic()
  subprocess.run(command, cwd=_ROOT, check=True)
  seconds = time.monotonic() - start
  peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
  return {
      "seconds": seconds,
      "peak_process_bytes": 1024 * peak,  # Linux counts kilobytes.
      "written_bytes": size_of(folder),
  }


def size_of(folder):
  """Bytes of the files in a folder; of links, their own."""
  paths = pathlib.Path(folder).rglob("*")
  return sum(path.lstat().st_size for path in paths if path.is_file())


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the JSON to write.")
  with tempfile.TemporaryDirectory() as folder:
    places = [f"{name}={folder}/{name}" for name in ("WORKDIR", "DATA_DIR")]
    demo = measure(["make", "demo", *places], folder)
  # After it, for the largest process of tests is larger.
  with tempfile.TemporaryDirectory() as folder:
    test = measure(["env", f"TMPDIR={folder}", "make", "test"], folder)
  value = {
      **environment.describe(None),
      "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
      "venv_bytes": size_of(_ROOT / ".venv"),
      "targets": {"demo": demo, "test": test},
  }
  artifacts.write_json(argv[1], value)
  for name, row in value["targets"].items():
    print(
        f"make {name}: {row['seconds'] / 60:.1f} minutes, "
        f"{row['peak_process_bytes'] / 1e9:.1f} GB in its largest process, "
        f"{row['written_bytes'] / 1e6:.0f} MB written"
    )


if __name__ == "__main__":
  app.run(main)
