"""Measures what branches and gates take on the machine it runs on.

    python -m export.export_model ... --keep_probes=probes     # at home
    python -m export.measure_costs --probes=probes/tflite --output=costs.json
    python -m export.export_model ... --costs=costs.json       # at home

The folder of probes is copied to the target in between.
"""

import pathlib
import platform
import sys

from absl import app
from absl import flags

from export.timing import block_times
from export.timing import costs as costs_lib
from export.timing import interleaved
from export.timing import probes

_PROBES = flags.DEFINE_string(
    "probes", None, "A folder below that of --keep_probes", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "File to write", required=True)
_REPEATS = flags.DEFINE_integer(
    "repeats", 100, "Rounds that count", lower_bound=1
)
_THREADS = flags.DEFINE_integer(
    "num_threads", None, "Of TF-Lite; default: all cores", lower_bound=1
)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  folder = pathlib.Path(_PROBES.value).expanduser()
  try:
    manifest = probes.read_manifest(folder)
    costs = block_times.measure(
        folder, repeats=_REPEATS.value, num_threads=_THREADS.value
    )
    costs_lib.write(
        _OUTPUT.value,
        costs,
        manifest["network"],
        machine=platform.processor() or platform.machine(),
    )
  except (ValueError, OSError) as error:
    sys.exit(f"export.measure_costs: {error}")
  for block in costs.blocks:
    print(
        f"{block.name:<24}"
        f"branch {interleaved.time_text(block.branch / 1000):>12}   "
        f"gate {interleaved.time_text(block.gate / 1000):>12}"
    )
  print(f"Wrote {_OUTPUT.value}.")


if __name__ == "__main__":
  app.run(main)
