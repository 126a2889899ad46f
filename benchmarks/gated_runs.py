"""What gates give trained networks: accuracy and time, over seeds.

    python -m benchmarks.gated_runs --comparison=runs/compare \
        --method=per_batch_dependent_0.6 --output=FILE

Of each seed of a finished comparison (`trainers.compare`), the network with
gates and the one without (`--reference`) are exported as a user would, and
timed in turn as `benchmarks.latency` does: `ungated`, the run without gates, is
what times are taken by; `all_open`, `dynamic` (MAP), `settled`, `auto` and
`fixed` are of the gated network. Accuracies are on the test split. Each seed is
written as it comes; the same command goes on where it was stopped.
"""

import pathlib
import sys
import tempfile

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from benchmarks import environment
from benchmarks import over_seeds
from benchmarks import skipping
from benchmarks import subjects
from export.timing import interleaved
from file_io import artifacts
from file_io import path_flags

_COMPARISON = path_flags.define(
    "comparison", None, "Folder of trainers.compare", required=True
)
_METHOD = flags.DEFINE_string(
    "method", "per_batch_dependent_0.6", "Folder of the gated runs in it"
)
_REFERENCE = flags.DEFINE_string(
    "reference", "ungated", "Folder of the runs without gates in it"
)
_OUTPUT = path_flags.define("output", None, "JSON to write", required=True)
_DATA_DIR = path_flags.define_data("data_dir", None, "Of the runs' data set")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Of SavedModels")
_REPEATS = flags.DEFINE_integer("repeats", 50, "Rounds that count")
_THREADS = flags.DEFINE_integer("threads", 2, "Of TensorFlow and TF-Lite")


def measure(gated, ungated):
  """The rows of one seed, printed as they come.

  Args:
    gated: workdir of the run with gates.
    ungated: workdir of the run without.

  Returns:
    A list, one a batch size.
  """
  subject = subjects.trained_network(gated, _DATA_DIR.value, ungated)
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    benchmark = skipping.Benchmark(
        subject, folder=folder, num_threads=_THREADS.value
    )
    for size in map(int, _BATCH_SIZES.value):
      rows.append(benchmark.run("map", size, repeats=_REPEATS.value))
      _print(gated.name, rows[-1])
  return rows


def _print(seed, row):
  for engine in ("served", "tflite"):
    for name, times in row.get(engine, {}).items():
      print(
          f"{seed:<8}{engine:<8}batch {row['batch_size']:<4}{name:<10}"
          f"{interleaved.time_text(times['median_ms']):>12}"
          f"{times['ratio']:>7.2f}",
          flush=True,
      )


def main(argv):
  del argv
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel("ERROR")
  tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
  folder = pathlib.Path(_COMPARISON.value).expanduser()
  gated, ungated = folder / _METHOD.value, folder / _REFERENCE.value
  seeds = sorted(path.parent.name for path in gated.glob("seed*/model.keras"))
  if not seeds:
    sys.exit(
        f"benchmarks.gated_runs: {gated} holds no finished runs. Make them "
        f"with `python -m trainers.compare --workdir={folder}`."
    )
  result = over_seeds.run(
      seeds,
      lambda seed: {"rows": measure(gated / seed, ungated / seed)},
      pathlib.Path(_OUTPUT.value),
      {
          "method": _METHOD.value,
          "reference": _REFERENCE.value,
          "recipe": artifacts.read_json(folder / "recipe.json"),
          **environment.describe(_THREADS.value),
          "repeats": _REPEATS.value,
      },
  )
  print("\n".join(over_seeds.table(result["summary"])))
  print(f"Wrote {_OUTPUT.value}.")


if __name__ == "__main__":
  app.run(main)
