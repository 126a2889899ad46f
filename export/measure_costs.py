"""Measures what branches and gates take on the machine it runs on.

    python -m export.export_model ... --keep_probes=probes     # at home
    python probes/tflite/measure_costs.pyz --output=costs.json # on the device
    python -m export.export_model ... --costs=costs.json       # at home

The folder of probes is copied to the device in between; there Python, NumPy and
ai-edge-litert are all that is needed. SavedModels are measured from a checkout:

    python -m export.measure_costs --probes=probes/saved_model \
        --output=costs.json
"""

# On a device there is no absl: so argparse, alone among the programs.
import argparse
from collections.abc import Callable
from collections.abc import Sequence
import functools
import importlib
import pathlib
import platform
import sys

from export.timing import block_times
from export.timing import interleaved
from file_io import artifacts
from file_io import paths
from file_io import writable


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the program.

  Args:
    arguments: of the command line; None for the process's.
  """
  flags = _parser().parse_args(arguments)
  try:
    folder, output = (
        pathlib.Path(paths.local(str(path)))
        for path in (flags.probes, flags.output)
    )
    writable.check_file(output, instead="--output")
    manifest = block_times.read_manifest(folder)
    costs = block_times.measure(
        folder,
        _loader(manifest["format"], flags.num_threads),
        repeats=flags.repeats,
    )
    machine = platform.processor() or platform.machine()
    value = costs.as_json(manifest["network"], machine=machine)
    artifacts.write_json(output, value)
  except (ValueError, OSError) as error:
    sys.exit(f"export.measure_costs: {error}")
  for block in costs.blocks:
    print(
        f"{block.name:<24}"
        f"branch {interleaved.time_text(block.branch / 1000):>12}   "
        f"gate {interleaved.time_text(block.gate / 1000):>12}"
    )
  print(f"Wrote {flags.output}.")


def _parser():
  parser = argparse.ArgumentParser(
      prog="measure_costs",
      description="Measures what branches and gates take on this machine.",
      allow_abbrev=False,
  )
  # The one-file program lies in the folder that it measures.
  here = pathlib.Path(sys.argv[0]).parent
  parser.add_argument(
      "--probes",
      default=here if (here / block_times.MANIFEST).exists() else None,
      required=not (here / block_times.MANIFEST).exists(),
      help="a folder below that of --keep_probes of export.export_model",
  )
  parser.add_argument("--output", required=True, help="file to write")
  parser.add_argument(
      "--repeats", type=_positive, default=100, help="rounds that count"
  )
  parser.add_argument(
      "--num_threads", type=_positive, help="of TF-Lite; default: all cores"
  )
  return parser


def _positive(text):
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f"must be positive, received {text}")
  return number


def _loader(format: str, num_threads: int | None) -> Callable:
  """How files of a format are loaded; imports what it takes, and no more."""
  if format == "tflite":
    engine = importlib.import_module("export.timing.lite_engine")
    return functools.partial(engine.load, num_threads=num_threads)
  engines = importlib.import_module("export.timing.engines")
  return functools.partial(engines.load, format=format)


if __name__ == "__main__":
  main()
