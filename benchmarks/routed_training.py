"""Training that computes a branch for the examples whose gate is open only.

    python -m benchmarks.routed_training --preset=cluttered_digits \
        --num_seeds=5 --workdir=runs/routed_training \
        benchmarks/results/routed_training.json

An experiment, not a feature of the library: what would a step that gathers
the open examples, runs the branch, and scatters save, and what would it cost?
Closed gates then have no gradient from the task loss (the straight-through
gradient needs the branch's output), and batch norms see open examples alone.

Trains each seed both ways, the masked run first, and evaluates both on the
test split; then times steps of ResNet-50 both ways, at several open rates.
The same command continues.
"""

import contextlib
import pathlib
from unittest import mock

from absl import app
from absl import flags
from absl import logging
import keras
import tensorflow as tf

from benchmarks import environment
from benchmarks import step_measurements
from export.timing import interleaved
from file_io import artifacts
import pgates
from pgates.layers import executions
from trainers.comparison import statistics as comparison_statistics
from trainers.evaluation import options
from trainers.evaluation import run
from trainers.evaluation import run_folder
from trainers.settings import config_from_flags
from trainers.settings import shared_flags
from trainers.training import training

_SEEDS = flags.DEFINE_integer("num_seeds", 5, "Seeds 0, 1, ...", lower_bound=2)
flags.mark_flag_as_required("workdir")

WAYS = ("masked", "routed")
# Batch size, rate of open gates, repeats.
_STEPS = ((8, 0.999, 7), (8, 0.7, 7), (8, 0.4, 7))


def _masked_is_routed(
    branch,
    inputs,
    shortcut,
    gates,
    scales=None,
    *,
    scaled_branch=None,
    **options,
):
  """`executions.masked`, without the work of closed examples.

  The gate scales its own branch: so open gates keep their straight-through
  gradient.
  """
  del scaled_branch
  return executions.routed(
      branch,
      inputs,
      shortcut,
      gates,
      gates if scales is None else scales,
      **options,
  )


@contextlib.contextmanager
def computing(way):
  """Lets train steps that are traced within the `with` compute so.

  Args:
    way: `masked` or `routed`.
  """
  if way == "masked":
    yield
    return
  with mock.patch.object(executions, "masked", _masked_is_routed):
    yield


def train_both_ways(settings, workdir, *, num_seeds):
  """Trains and evaluates each seed both ways.

  Args:
    settings: function of a seed to a `Config`.
    workdir: of the runs' folders, WAY/seedN.
    num_seeds: how many.

  Returns:
    way -> list of dicts, one a seed: accuracy, share of MACs and open rate
    under MAP on the test split, the rate reached in training, and seconds a
    step.
  """
  found = {way: [] for way in WAYS}
  for seed in range(num_seeds):
    for way in WAYS:
      folder = pathlib.Path(workdir) / way / f"seed{seed}"
      print(f"Seed {seed}, {way}: {folder}", flush=True)
      if not (folder / "evaluation.json").exists():
        with computing(way):
          training.run(settings(seed), folder)
        run.evaluate_run(folder, options.Options(strategies=["map"]))
        keras.backend.clear_session()
      found[way].append(_read(folder))
  return found


def _read(folder):
  value = artifacts.read_json(folder / "evaluation.json")
  history = artifacts.read_json_lines(folder / "history.jsonl")
  decided = value["strategies"]["map"]
  return {
      "accuracy": decided["accuracy"],
      "macs_share": decided["macs"] / value["dense_macs"],
      "open_rate": decided["open_rate"],
      "trained_open_rate": history[-1]["open_rate"],
      "seconds_per_step": run_folder.seconds_per_step(history),
  }


def differences(found):
  """Routed minus masked, paired by seed, with 95 % intervals.

  Args:
    found: of `train_both_ways`.

  Returns:
    A dict, quantity -> `comparison_statistics.difference`.
  """
  masked, routed = (found[way] for way in WAYS)
  return {
      key: comparison_statistics.difference(
          [row[key] for row in routed], [row[key] for row in masked]
      )
      for key in masked[0]
  }


def step_times(*, network, image_size, batch_size, open_rate, repeats):
  """Times train steps of both ways, and of the network without gates.

  Args:
    network: `resnet50`, ...
    image_size: side in pixels.
    batch_size: of a step.
    open_rate: probability of each gate, which is independent of the input.
    repeats: steps that count.

  Returns:
    `interleaved.summary`, by `ungated`.
  """

  def gate(index, num_blocks):
    del index, num_blocks
    return pgates.DataIndependentGate(initial_probability=open_rate)

  sizes = {
      "network": network,
      "batch_size": batch_size,
      "image_size": image_size,
  }
  steps = {
      "ungated": step_measurements.make_step(
          gate="none", rate_loss=False, **sizes
      )
  }
  for way in WAYS:
    with computing(way):
      steps[way] = step_measurements.make_step(
          gate=gate, rate_loss=True, **sizes
      )
      steps[way]()  # Traced here.
  times = interleaved.measure(steps, repeats=repeats, warmup=1)
  return interleaved.summary(times, "ungated")


def _measure_steps():
  rows = []
  for batch_size, open_rate, repeats in _STEPS:
    sizes = {
        "batch_size": batch_size,
        "open_rate": open_rate,
        "repeats": repeats,
    }
    times = step_measurements.in_fresh_process(
        step_times, network="resnet50", image_size=224, **sizes
    )
    rows.append({**sizes, **times})
    ratios = ", ".join(f"{way} {times[way]['ratio']:.2f}" for way in WAYS)
    print(f"Batch {batch_size}, gates open {open_rate}: {ratios}", flush=True)
  return rows


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the JSON to write.")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  tf.get_logger().setLevel("ERROR")

  def settings(seed):
    flags.FLAGS["seed"].value = seed
    return config_from_flags.make_config()

  found = train_both_ways(
      settings, shared_flags.WORKDIR.value, num_seeds=_SEEDS.value
  )
  value = {
      **environment.describe(None),
      "runs": found,
      "routed_minus_masked": differences(found),
      "resnet50_steps": _measure_steps(),
  }
  for key, row in value["routed_minus_masked"].items():
    print(f"{key}: {row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]")
  artifacts.write_json(argv[1], value)


if __name__ == "__main__":
  app.run(main)
