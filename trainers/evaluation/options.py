"""What to evaluate a run under; each field is a flag of `trainers.evaluate`."""

import dataclasses
import os
import pathlib

import pgates
from trainers.evaluation import predictions
from trainers.settings import setting

_WRITTEN_BY_TRAINING = ("config.json", "position.json")

_field = setting.field


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """The settings of an evaluation, documented by their help texts.

  Raises:
    ValueError: if one cannot be.
  """

  strategies: list[str] = _field(
      ["all"],
      f"all, or names between commas: {', '.join(pgates.STRATEGY_EXAMPLES)}",
  )
  split: str = _field(
      "test", "What to report on", choices=("test", "validation")
  )
  execution: str = _field(
      "masked", "routed really skips blocks", choices=("masked", "routed")
  )
  recalibrate_batch_norm: int = _field(
      0,
      "Training batches to re-estimate batch-norm statistics on, under each "
      "strategy; model.keras stays as it is",
      lowest=0,
  )
  threshold_curve: bool = _field(
      False,
      "Also accuracy and multiply-adds at eleven thresholds, on both splits",
  )
  predictions: bool = _field(
      False,
      "Also the logits of every example under the first strategy, on both "
      "splits, as predictions.npz beside --output",
  )
  model_file: str = _field(
      "model.keras",
      "Of the workdir: the last epoch's, or that of the best on validation",
      choices=("model.keras", "best.keras"),
  )
  output: str = _field(
      "evaluation.json",
      "File to write: a name in the workdir, or the path of one elsewhere",
      is_path=True,
  )
  reference: str | os.PathLike | None = _field(
      None,
      "The workdir of an ungated network that was evaluated on the same split, "
      "to show beside",
      kind=str,
      is_path=True,
  )

  def __post_init__(self):
    for name, (each, _) in setting.settings_of(self).items():
      each.check(name, getattr(self, name))
    # A mistake would be found after all the work, or cost a file.
    name = os.path.basename(self.output)
    if not name.endswith(".json") or name in _WRITTEN_BY_TRAINING:
      raise ValueError(
          "--output is the name of a JSON file in the workdir, or the path of "
          "one elsewhere, and none that training writes. Received: "
          f"{self.output!r}"
      )

    if self.predictions and self.recalibrate_batch_norm:
      raise ValueError(
          "--predictions are those of the network as it was trained; give "
          "--recalibrate_batch_norm in an evaluation of its own. Received: "
          f"--recalibrate_batch_norm={self.recalibrate_batch_norm}"
      )

  def output_path(self, workdir: pathlib.Path) -> pathlib.Path:
    """Where the results of a run go."""
    if os.path.dirname(self.output):
      return pathlib.Path(self.output).expanduser()
    return workdir / self.output

  def predictions_path(self, workdir: pathlib.Path) -> pathlib.Path:
    """Where the logits of a run go."""
    return self.output_path(workdir).with_name(predictions.NAME)
