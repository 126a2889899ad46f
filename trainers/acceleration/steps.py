"""The steps of an acceleration, each a program of ours, and what they leave.

A step that was taken is not taken again: what it leaves tells.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import shlex
from typing import Any

from file_io import artifacts
from file_io import locks
from trainers import children
from trainers.settings import config as config_lib
from trainers.settings import records

GIVEN = "given"  # The folder of the network as it was given.
FORMATS = "saved_model,tflite"

_EVALUATION = {"strategies": {str: {"accuracy": float, "macs": float}}}


@dataclasses.dataclass(frozen=True)
class Found:
  """What is known of a network whose run has ended.

  Args:
    folder: of the run.
    accuracy: under MAP, on validation data, a share.
  """

  folder: pathlib.Path
  accuracy: float

  @property
  def exported(self) -> pathlib.Path:
    """The folder of its exports."""
    return self.folder / "exported"


class Steps:
  """Runs programs in order, and says with which command.

  Args:
    settings: of the recipe, of `config.Config`.
    folder: that everything is written below.
    processes: that run them.
    echo: prints a line.
  """

  def __init__(
      self,
      settings: dict[str, Any],
      folder: pathlib.Path,
      processes: children.Children,
      echo: Callable[[str], None],
  ):
    self._settings = settings
    self._folder = folder
    self._processes = processes
    self._echo = echo

  def given(self) -> Found:
    """Keeps the network as it was given, and evaluates and exports it."""
    found = self._trained(GIVEN, gate="none", target_rates=[1.0], epochs=0)
    self._export(found, "--gating=fixed", "--strategy=always_open")
    return found

  def gated(self, target: float) -> Found:
    """Trains the network with gates that are open at a rate.

    The network as it was given teaches it, unless there is another teacher, a
    fresh head, or a weight of 0.
    """
    recipe = config_lib.Config(**self._settings)
    teacher = recipe.distill_from
    if teacher is None and recipe.distill_weight and not recipe.new_head:
      teacher = str(self._folder / GIVEN)
    return self._trained(
        f"rate_{target:g}", target_rates=[target], distill_from=teacher
    )

  def export(self, found: Found, *, reference: Found, max_drop: float) -> None:
    """Exports of a gated network what pays.

    Args:
      found: the network.
      reference: the network that was given.
      max_drop: points of validation accuracy below that of MAP.
    """
    self._export(
        found,
        "--gating=auto",
        f"--reference={reference.folder}",
        f"--max_accuracy_drop={max_drop:.6g}",
    )

  def times(self, found: Sequence[Found]) -> list[dict[str, Any]]:
    """Times all exports beside each other; the first is the given network."""
    path = self._folder / "times.json"
    exports = ",".join(str(each.exported) for each in found)
    self._take(
        path,
        "export.time_exports",
        f"--exports={exports}",
        f"--workdir={found[0].folder}",
        f"--output={path}",
    )
    shape = {
        "rows": [{"export": str, "path": str, "time_ratios": {str: float}}]
    }
    return artifacts.read_json(path, shape, writer="export.time_exports")[
        "rows"
    ]

  def report(self, found: Found, *, reference: Found) -> pathlib.Path:
    """Evaluates a gated network and the given one, and writes their page."""
    for each, strategies in ((reference, "always_open"), (found, "all")):
      self._take(
          each.folder / "evaluation.json",
          "trainers.evaluate",
          f"--workdir={each.folder}",
          f"--strategies={strategies}",
      )
    path = self._folder / "report.html"
    self._take(
        path,
        "trainers.report",
        f"--workdir={found.folder}",
        f"--reference={reference.folder}",
        f"--export={found.exported}",
        f"--output={path}",
    )
    return path

  def _trained(self, name, **settings):
    folder = self._folder / name
    config = config_lib.Config(**(self._settings | settings))
    place = [f"--workdir={folder}"]
    self._take(
        folder / "model.keras",
        "trainers.train",
        *_flags(config),
        *place,
    )
    path = folder / "validation.json"
    self._take(
        path,
        "trainers.evaluate",
        *place,
        "--split=validation",
        "--strategies=map",
        f"--output={path}",
    )
    value = artifacts.read_json(path, _EVALUATION, writer="trainers.evaluate")
    (result,) = value["strategies"].values()
    return Found(folder, result["accuracy"])

  def _export(self, found, *arguments):
    self._take(
        found.exported / "export.json",
        "export.export_model",
        f"--workdir={found.folder}",
        f"--format={FORMATS}",
        f"--output_dir={found.exported}",
        *arguments,
    )

  def _take(self, result: os.PathLike, module: str, *arguments: str) -> None:
    """Takes a step, unless its result is there."""
    result = pathlib.Path(result)
    if result.parent != self._folder:  # That one is this process's own.
      # Of a process that was killed, a program may be at work still.
      locks.wait_until_free(result.parent, echo=self._echo)
    if result.exists():
      return
    command = shlex.join(["python", "-m", module, *arguments])
    self._echo(f"\n$ {command}")
    self._processes.call(module, arguments)


def _flags(config):
  """The arguments that make a configuration; defaults are left out."""
  defaults = records.to_flags(config_lib.Config())
  return [flag for flag in records.to_flags(config) if flag not in defaults]
