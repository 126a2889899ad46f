"""Where a result was measured, and how times are written."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys


def describe(num_threads):
  """What a result's file says of where it was measured."""
  root = pathlib.Path(__file__).parent.parent
  program = pathlib.Path(sys.argv[0]).resolve()
  module = ".".join(program.relative_to(root.resolve()).with_suffix("").parts)
  commit = subprocess.run(
      ["git", "rev-parse", "HEAD"],
      cwd=root,
      capture_output=True,
      text=True,
      check=False,
  )
  return {
      "command": " ".join(["python", "-m", module, *sys.argv[1:]]),
      "commit": commit.stdout.strip(),
      "cpu": _cpu(),
      "cores": os.cpu_count(),
      "threads": num_threads,
      "python": platform.python_version(),
      **{
          name: importlib.metadata.version(name)
          for name in ("tensorflow", "keras", "ai-edge-litert")
      },
  }


def _cpu():
  path = pathlib.Path("/proc/cpuinfo")
  lines = path.read_text().splitlines() if path.exists() else []
  names = [line for line in lines if line.startswith("model name")]
  return names[0].partition(":")[2].strip() if names else platform.processor()
