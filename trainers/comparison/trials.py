"""Cells of a comparison: one recipe under several methods, targets, seeds."""

from collections.abc import Sequence
import dataclasses
import os
import pathlib
from typing import Any

from file_io import artifacts
import pgates
from trainers.evaluation import predictions
from trainers.evaluation import run_folder
from trainers.settings import config as config_lib

_DEPTHS = (8, 14, 20, 32)
# What each method sets, over the recipe. Some of it names the method whose run
# of the same seed it starts or learns from.
_SOURCES = ("init_from", "distill_from")
METHODS = {
    "ungated": {"gate": "none"},
    "stochastic_depth": {"gate": "stochastic_depth"},
    "per_layer_dependent": {"gate": "dependent", "rate_loss": "per_layer"},
    "per_batch_dependent": {"gate": "dependent", "rate_loss": "per_batch"},
    "per_layer_independent": {"gate": "independent", "rate_loss": "per_layer"},
    "per_batch_independent": {"gate": "independent", "rate_loss": "per_batch"},
    "hard_concrete": {
        "gate": "hard_concrete",
        "rate_loss": "per_batch",
        "temperature": 2 / 3,
    },
    # As long again: what training longer gives without gates.
    "ungated_longer": {"gate": "none", "init_from": "ungated"},
    "warm_per_batch_dependent": {
        "gate": "dependent",
        "rate_loss": "per_batch",
        "init_from": "ungated",
    },
    "distilled_per_batch_dependent": {
        "gate": "dependent",
        "rate_loss": "per_batch",
        "init_from": "ungated",
        "distill_from": "ungated",
    },
    # What a smaller or a larger network gives without gates.
    **{
        f"cifar_resnet{depth}": {
            "gate": "none",
            "network": f"cifar_resnet{depth}",
        }
        for depth in _DEPTHS
    },
    **{
        f"distilled_cifar_resnet{depth}": {
            "gate": "none",
            "network": f"cifar_resnet{depth}",
            "distill_from": "ungated",
        }
        for depth in _DEPTHS
    },
}
# The paper's comparison.
USUAL_METHODS = [
    *("ungated", "stochastic_depth"),
    *("per_layer_dependent", "per_batch_dependent"),
    *("per_layer_independent", "per_batch_independent"),
]
# What a trial sets over the recipe.
OWN_SETTINGS = ("gate", "rate_loss", "target_rates", "seed")
# What a trial is evaluated under; those that its network can take.
STRATEGIES = (
    *("map", "sampled", "ensemble:5", "expected", "always_open"),
    *("budget:0.7", "prune:0.5", "settled"),
)
# Batch norms are estimated anew for these.
RECALIBRATED = ("map", "prune:0.5")
RECALIBRATED_FILE = "recalibrated.json"

# What is relied on of the files of a finished run.
_EVALUATION = {
    "parameters": int,
    "dense_macs": float,
    "gates": [{"name": str}],
    "strategies": {str: dict},
}
_EPOCH = {"seconds": float, "seconds_per_step": object}


@dataclasses.dataclass(frozen=True)
class Trial:
  """One training run.

  Args:
    method: a key of `METHODS`.
    target_rate: of open gates; None for methods that learn no gates.
    seed: of the run.
  """

  method: str
  target_rate: float | None
  seed: int

  @property
  def title(self) -> str:
    """Its method and target: the same for all seeds."""
    target = "" if self.target_rate is None else f"_{self.target_rate:g}"
    return f"{self.method}{target}"

  @property
  def name(self) -> str:
    """Of its folder below that of the comparison."""
    return f"{self.title}/seed{self.seed}"

  @classmethod
  def of_name(cls, name: str) -> "Trial | None":
    """The trial of a name; None where it has no method of today."""
    title, _, seed = name.rpartition("/seed")
    method, _, target = title.rpartition("_")
    if title in METHODS:
      return cls(title, None, int(seed))
    if method in METHODS:
      return cls(method, float(target), int(seed))
    return None

  @property
  def learns_gates(self) -> bool:
    return self.target_rate is not None

  @property
  def is_dense(self) -> bool:
    """Whether it is a plain network, trained from scratch."""
    is_plain = METHODS[self.method]["gate"] == "none"
    return is_plain and "init_from" not in self.sources

  @property
  def is_distilled(self) -> bool:
    """Whether it imitates another network."""
    return "distill_from" in self.sources

  @property
  def sources(self) -> "dict[str, Trial]":
    """The trials whose networks this one starts or learns from, by setting."""
    own = METHODS[self.method]
    return {
        name: Trial(own[name], None, self.seed)
        for name in _SOURCES
        if name in own
    }

  def config(
      self, settings: dict[str, Any], workdir: str | os.PathLike
  ) -> config_lib.Config:
    """The `Config` of the run.

    Args:
      settings: dict of the recipe, to which the trial's own settings come.
      workdir: of the comparison.
    """
    own = {**METHODS[self.method], "seed": self.seed}
    for name, source in self.sources.items():
      own[name] = str(pathlib.Path(workdir) / source.name)
    # Without a target, all gates may be open: no rate loss is made.
    own["target_rates"] = [self.target_rate or 1.0]
    return config_lib.Config(**{**settings, **own})

  def strategies(self) -> list[str]:
    """What the run is evaluated under."""
    if METHODS[self.method]["gate"] == "none":
      return ["always_open"]
    return [
        text
        for text in STRATEGIES
        if self.learns_gates or not pgates.parse_strategy(text).needs_data
    ]


def make_trials(
    methods: Sequence[str], target_rates: Sequence[float], seeds: Sequence[int]
) -> list[Trial]:
  """All trials, the first seed's first, so that a part of them is balanced.

  Args:
    methods: list of keys of `METHODS`.
    target_rates: list of rates in (0, 1].
    seeds: list of integers.

  Returns:
    A list of `Trial`.

  Raises:
    ValueError: if a list is empty, doubled or holds what it must not, or a
      method comes without, or before, one that it starts or learns from.
  """
  unknown = sorted(set(methods) - set(METHODS))
  if unknown:
    raise ValueError(
        f"Unknown methods: {', '.join(unknown)}. Known: {', '.join(METHODS)}"
    )
  for place, method in enumerate(methods):
    for source in METHODS[method].keys() & _SOURCES:
      needed = METHODS[method][source]
      if needed not in methods[:place]:
        raise ValueError(
            f"{method} needs the network of {needed}, which must stand before "
            f"it in the methods. Received: {', '.join(methods)}"
        )
  wrong = [rate for rate in target_rates if not 0 < rate <= 1]
  if wrong:
    raise ValueError(f"Target rates are in (0, 1]. Received: {wrong}")
  lists = {"methods": methods, "target rates": target_rates, "seeds": seeds}
  for name, values in lists.items():
    if not values or len(set(values)) < len(values):
      raise ValueError(f"Expected different {name}. Received: {values}")
  return [
      Trial(method, target, seed)
      for seed in seeds
      for method in methods
      for target in (target_rates if "rate_loss" in METHODS[method] else [None])
  ]


def read_trial(workdir: str | os.PathLike, trial: Trial) -> dict[str, Any]:
  """The results of a finished trial.

  Args:
    workdir: of the comparison.
    trial: a `Trial`.

  Returns:
    A dict for JSON.
  """
  folder = pathlib.Path(workdir) / trial.name
  evaluation = artifacts.read_json(
      folder / "evaluation.json",
      _EVALUATION,
      writer="trainers.evaluate",
  )
  history = artifacts.read_json_lines(
      folder / "history.jsonl", _EPOCH, writer="trainers.train"
  )
  result = {
      **dataclasses.asdict(trial),
      "folder": trial.name,
      "parameters": evaluation["parameters"],
      "dense_macs": evaluation["dense_macs"],
      "blocks": [gate["name"] for gate in evaluation["gates"]],
      "seconds_per_step": run_folder.seconds_per_step(history),
      "training_seconds": sum(line["seconds"] for line in history),
      # What the rate loss saw at the end: gates sampled, on training images.
      "trained_open_rate": history[-1].get("open_rate"),
      "strategies": evaluation["strategies"],
      **_collapse(evaluation["strategies"]),
  }
  if trial.learns_gates:
    recalibrated = artifacts.read_json(
        folder / RECALIBRATED_FILE,
        {"strategies": object},
        writer="trainers.evaluate",
    )
    result["recalibrated"] = recalibrated["strategies"]
    result["curves"] = evaluation["threshold_curves"]
  return result


def _collapse(strategies):
  """As trained: under MAP a data-independent gate is never in between."""
  if "sampled" not in strategies:
    return {"collapsed_share": None, "open_rate_variance": None}
  rates = strategies["sampled"]["gate_open_rates"]
  return {
      "collapsed_share": pgates.collapsed_share(rates),
      "open_rate_variance": pgates.open_rate_variance(rates),
  }


def is_finished(
    workdir: str | os.PathLike, trial: Trial, *, num_recalibration_batches: int
) -> bool:
  """Whether nothing of a trial remains to be run.

  Args:
    workdir: of the comparison.
    trial: a `Trial`.
    num_recalibration_batches: that statistics are to be re-estimated on.

  Returns:
    A bool.
  """
  folder = pathlib.Path(workdir) / trial.name
  if not (folder / "evaluation.json").exists():
    return False
  if trial.is_dense and not (folder / predictions.NAME).exists():
    return False
  if not trial.learns_gates:
    return True
  path = folder / RECALIBRATED_FILE
  if not path.exists():
    return False
  found = artifacts.read_json(
      path, {"recalibrate_batch_norm": int}, writer="trainers.evaluate"
  )
  return found["recalibrate_batch_norm"] == num_recalibration_batches
