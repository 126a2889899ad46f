"""The networks of a comparison, exported and timed beside each other."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import itertools
import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from benchmarks import candidates
from benchmarks import served
from benchmarks import skipping
from benchmarks import subjects
from benchmarks import time_curves
from export.timing import engines
from export.timing import interleaved
import pgates
from pgates.layers import gate_rules
from trainers.comparison import dense
from trainers.comparison import trials as trials_lib
from trainers.evaluation import predictions as predictions_lib

REFERENCE = "ungated"
_IMAGES = 64  # Of a round, whatever the size of its batches.
# Shares of validation examples that are given to a cascade's second network.
_DEFERRED = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
_ALWAYS = pgates.parse_strategy("always_open")
_MAP = pgates.parse_strategy("map")


@dataclasses.dataclass(frozen=True)
class Network:
  """What is exported and timed.

  Args:
    kind: `dense`, `cascade` or `gated`.
    group: of the networks that are points of one curve.
    accuracy: (format, batch size) -> accuracy by split.
    candidate: (format, batch size) -> `candidates.Candidate`.
    file: (format, batch size) -> name of its file, which others may share.
    threshold: of its gates.
  """

  kind: str
  group: str
  accuracy: Callable[[str, int], dict[str, float]]
  candidate: Callable[[str, int], candidates.Candidate]
  file: Callable[[str, int], str]
  threshold: float = gate_rules.MAP_THRESHOLD


@dataclasses.dataclass(frozen=True)
class Timing:
  """How networks are timed.

  Args:
    repeats: rounds that count.
    num_threads: of TensorFlow and TF-Lite.
    batch_sizes: of SavedModels, divisors of 64.
  """

  repeats: int
  num_threads: int
  batch_sizes: Sequence[int]


def finished(folder: pathlib.Path) -> dict[int, list[trials_lib.Trial]]:
  """The finished trials of a comparison by seed, where there is a reference.

  Args:
    folder: of the comparison.
  """
  found = {}
  for path in sorted(folder.glob("*/seed*/evaluation.json")):
    name = path.parent.relative_to(folder).as_posix()
    trial = trials_lib.Trial.of_name(name)
    if trial is not None:
      found.setdefault(trial.seed, []).append(trial)
  reference = {seed: trials_lib.Trial(REFERENCE, None, seed) for seed in found}
  return {s: trials for s, trials in found.items() if reference[s] in trials}


def measure(
    folder: pathlib.Path,
    trials: Sequence[trials_lib.Trial],
    *,
    timing: Timing,
    data_dir: str | os.PathLike | None = None,
) -> dict[str, Any]:
  """Exports and times the networks of one seed in turn.

  They are its plain networks, cascades of each pair of these, and its gated
  networks, of which `auto` keeps the gates that pay. Lines are printed as they
  come.

  Args:
    folder: of the comparison.
    trials: its finished trials of the seed.
    timing: a `Timing`.
    data_dir: of the runs' data set; None for where it was.

  Returns:
    name -> dict for JSON, as of `time_curves`.
  """
  opened = {
      trial: subjects.trained_network(folder / trial.name, data_dir)
      for trial in trials
      if trial.learns_gates or _is_plain(trial)
  }
  answers = {
      trial: predictions_lib.read(folder / trial.name / predictions_lib.NAME)
      for trial in opened
      if _is_plain(trial)
  }
  networks = _plain(opened, answers) | _cascades(opened, answers)
  networks |= {
      trial.title: _gated(trial, subject)
      for trial, subject in opened.items()
      if trial.learns_gates
  }
  results = {
      name: {"kind": each.kind, "group": each.group, "engines": {}}
      for name, each in networks.items()
  }
  images = next(iter(opened.values())).images[:_IMAGES]
  for engine, format, size, times in _timed(networks, images, timing):
    for name, found in interleaved.summary(times, REFERENCE).items():
      accuracy = networks[name].accuracy(format, size)
      results[name]["engines"][engine] = {
          "time": found["ratio"],
          "accuracy": accuracy,
      }
      print(
          f"{engine:<10}{name:<52}{found['ratio']:>6.2f}"
          f"{100 * accuracy['test']:>8.2f} %",
          flush=True,
      )
  return results


def _is_plain(trial):
  return trial.is_dense and not trial.is_distilled


def _plain(opened, answers):
  found = {}
  for trial, of_split in answers.items():
    found[trial.method] = Network(
        "dense",
        "dense",
        _always(
            {s: float(of_split[s].right.mean()) for s in time_curves.SPLITS}
        ),
        _always(candidates.Candidate(opened[trial].model, _ALWAYS)),
        _always(trial.method),
    )
  return found


def _cascades(opened, answers):
  """Of each pair of plain networks, at a few thresholds."""
  costs = {trial: opened[trial].model.macs.dense for trial in answers}
  found = {}
  for pair in itertools.combinations(sorted(answers, key=costs.get), 2):
    if costs[pair[0]] == costs[pair[1]]:  # A recipe's own may come twice.
      continue
    curve = dense.cascade(*(answers[trial] for trial in pair))
    title = " then ".join(trial.method for trial in pair)
    candidate = candidates.Candidate(
        pgates.cascade(*(opened[trial].model for trial in pair)), _MAP
    )
    for share in _DEFERRED:
      place = int(np.abs(dense.DEFERRED - share).argmin())
      points = {split: curve[split][place] for split in time_curves.SPLITS}
      found[f"{title}, {100 * share:g} %"] = Network(
          "cascade",
          title,
          _always({s: point["accuracy"] for s, point in points.items()}),
          _always(candidate),
          _always(title),
          threshold=points["test"]["threshold"],
      )
  return found


def _always(value):
  return lambda format, size: value


def _gated(trial, subject):
  """What `--gating=auto` exports of a gated network."""
  batches = {"validation": subject.validation, "test": subject.test}

  @functools.cache
  def auto(format, size):
    return candidates.decided(
        subject.model,
        _MAP,
        subject.validation,
        format=format,
        batch_size=size,
    )["auto"]

  @functools.cache
  def accuracy(format, size):
    candidate = auto(format, size)
    return {
        split: candidate.measured(batches[split])["accuracy"]
        for split in time_curves.SPLITS
    }

  return Network(
      "gated",
      trial.method,
      accuracy,
      auto,
      lambda format, size: f"{trial.title} for {size}",
  )


def _timed(networks, images, timing):
  """Yields engine, format, batch size, and seconds of each round by network."""
  thresholds = {name: each.threshold for name, each in networks.items()}
  with tempfile.TemporaryDirectory() as folder:
    for size in timing.batch_sizes:
      times = served.measure(
          _written(networks, folder, "saved_model", size),
          images.reshape(-1, size, *images.shape[1:]),
          thresholds,
          repeats=timing.repeats,
          num_threads=timing.num_threads,
      )
      yield f"served_{size}", "saved_model", size, times
    files = _written(networks, folder, "tflite", 1)
    calls = {
        name: _one_by_one(path, thresholds[name], timing.num_threads)
        for name, path in files.items()
    }
    times = skipping.in_turn(calls, images, repeats=timing.repeats)
    yield "tflite_1", "tflite", 1, times


def _written(networks, folder, format, size):
  """The files of networks, which are written where they are not yet."""
  paths = {}
  for name, network in networks.items():
    paths[name] = pathlib.Path(folder, format, network.file(format, size))
    if not paths[name].exists():
      paths[name].parent.mkdir(exist_ok=True)
      network.candidate(format, size).write(paths[name], format)
  return paths


def _one_by_one(path, threshold, num_threads):
  """A TF-Lite file, run on each image of a batch."""
  run = engines.load(
      path, "tflite", threshold=threshold, num_threads=num_threads
  )

  def run_each(images):
    for place in range(len(images)):
      run(images[place : place + 1])

  return run_each
