"""How much time skipping gives back: exported networks against the limit.

    python -m benchmarks.latency --output=benchmarks/results/latency.json

    python -m benchmarks.latency --workdir=RUN --output=...

Candidates take turns. `all_open` is the network with every gate open for good;
of a run with --reference, `ungated` is that run's network. Times are by the
latter, where it is there. `removed` is the network without the blocks that the
input closes, the limit of what skipping can reach;
`masked` computes every branch and multiplies by the gate, as published code
does; `dynamic` lets every gate decide. Of a run, also `settled`, `auto` and
`fixed`, as `export.export_model` makes them, with their accuracies. `keras` is
`masked` without export; ONNX Runtime and OpenVINO run the network that times
are taken by, where they are installed (`requirements_benchmarks.txt`).

The engines: `saved_model`, loaded by Python; `served`, the same files in a
session of TensorFlow's C API, as TensorFlow Serving runs them; `tflite`.
Without a run, ResNet-50 of random weights serves, whose gates differ between
images: an hour or more on two cores. Each row is written as it comes; the
same command, of the same commit, goes on where it was stopped.
`benchmarks.latency_plot` draws the result.
"""

import pathlib
import tempfile

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from benchmarks import environment
from benchmarks import skipping
from benchmarks import subjects
from benchmarks import unfinished
from export.timing import interleaved
from file_io import artifacts
from file_io import path_flags

_OUTPUT = path_flags.define("output", None, "JSON to write", required=True)
_WORKDIR = path_flags.define("workdir", None, "Run whose network to measure")
_REFERENCE = path_flags.define(
    "reference", None, "Run without gates to compare a run with"
)
_DATA_DIR = path_flags.define_data("data_dir", None, "Of the run's data set")
_NETWORK = flags.DEFINE_string(
    "network", "resnet50", "As of trainers.train; no workdir"
)
_SIZE = flags.DEFINE_integer("size", 224, "Pixels a side; without a workdir")
_RATES = flags.DEFINE_list(
    "rates",
    ["1.0", "0.75", "0.6", "0.4", "0.0"],
    "Shares of the gateable multiply-adds to execute, or map",
)
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8", "32"], "SavedModel")
_REPEATS = flags.DEFINE_integer("repeats", 15, "Rounds that count")
_THREADS = flags.DEFINE_integer("threads", 2, "Of TensorFlow and TF-Lite")


def main(argv):
  del argv
  logging.set_verbosity(logging.WARNING)  # SavedModels are talkative.
  tf.get_logger().setLevel("WARNING")
  tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
  if _WORKDIR.value is None:
    subject = subjects.random_network(_NETWORK.value, _SIZE.value)
  else:
    subject = subjects.trained_network(
        _WORKDIR.value, _DATA_DIR.value, _REFERENCE.value
    )
  result = {
      "network": subject.model.name,
      "weights": "random" if _WORKDIR.value is None else "trained",
      "image_shape": list(subject.images.shape[1:]),
      "dense_macs": subject.model.macs.dense,
      "reference": subject.reference,
      **environment.describe(_THREADS.value),
  }
  rows = unfinished.rows(pathlib.Path(_OUTPUT.value), result)
  measured = {(row["rate"], row["batch_size"]) for row in rows}
  with tempfile.TemporaryDirectory() as folder:
    benchmark = skipping.Benchmark(
        subject, folder=folder, num_threads=_THREADS.value
    )
    for batch_size in map(int, _BATCH_SIZES.value):
      for rate in _RATES.value:
        if (rate, batch_size) in measured:
          continue
        rows.append(benchmark.run(rate, batch_size, repeats=_REPEATS.value))
        artifacts.write_json(_OUTPUT.value, {**result, "rows": rows})
        _print(rows[-1])


def _print(row):
  print(
      f"batch {row['batch_size']:>2}, open rate {row['rate']}, executed "
      f"{100 * row['executed_share_of_macs']:.0f} % of the MACs"
  )
  for engine in ("saved_model", "served", "tflite"):
    for name, times in row.get(engine, {}).items():
      limit = times.get("ratio_to_limit")
      print(
          f"  {engine:<12}{name:<12}"
          f"{interleaved.time_text(times['median_ms']):>12}"
          f"{times['ratio']:>7.2f}"
          + (f"   {limit:.2f} of the limit" if limit else "")
          + _accuracy(row, engine, name),
          flush=True,
      )


def _accuracy(row, engine, name):
  format = "tflite" if engine == "tflite" else "saved_model"
  measured = row.get("networks", {}).get(format, {}).get(name)
  return f"   {100 * measured['accuracy']:.2f} % right" if measured else ""


if __name__ == "__main__":
  app.run(main)
