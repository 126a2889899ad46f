"""Walks down the targets, exports what pays, and keeps the fastest."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import shutil
import time
from typing import Any

from file_io import artifacts
from file_io import scratch
from trainers import children
from trainers.acceleration import choosing
from trainers.acceleration import steps as steps_lib
from trainers.settings import records


@dataclasses.dataclass(frozen=True)
class Bounds:
  """What an acceleration is held to.

  Args:
    max_accuracy_drop: points of validation accuracy below the given network.
    time_limit: seconds, after which no further network is begun; or None.
  """

  max_accuracy_drop: float
  time_limit: float | None = None


def accelerate(
    settings: dict[str, Any],
    targets: Sequence[float],
    folder: pathlib.Path,
    bounds: Bounds,
    processes: children.Children,
    *,
    echo: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[choosing.Row]:
  """Gates a trained network, and exports the fastest that is accurate enough.

  The same call continues where it was stopped.

  Args:
    settings: of the recipe, of `config.Config`; the network comes with weights.
    targets: rates of open gates, tried from the highest on.
    folder: that everything is written below.
    bounds: that the result keeps.
    processes: that run the programs.
    echo: prints a line.
    clock: returns seconds.

  Returns:
    The exported files. Those that are chosen lie in `folder` as `model/1` and
    `model.tflite`, unless they are of the given network.

  Raises:
    ValueError: if the folder holds an acceleration of another recipe.
    subprocess.CalledProcessError: if a program failed.
    children.Stopped: after a stop was requested.
  """
  _continue_same(folder, settings, targets, bounds)
  start = clock()
  steps = steps_lib.Steps(settings, folder, processes, echo)
  given = steps.given()
  lowest = max(0.0, given.accuracy - bounds.max_accuracy_drop / 100)
  echo(
      f"As given: {100 * given.accuracy:.2f} % of the validation images. At "
      f"least {100 * lowest:.2f} % are kept."
  )
  found = [given]
  for target in sorted(targets, reverse=True):
    began = clock()
    gated = steps.gated(target)
    echo(
        f"Target {target:g}: {100 * gated.accuracy:.2f} % of the validation "
        "images."
    )
    # Below it, a lower rate does not help either.
    if gated.accuracy < lowest - 1e-9:
      break
    steps.export(
        gated, reference=given, max_drop=100 * (gated.accuracy - lowest)
    )
    found.append(gated)
    now = clock()
    limit = bounds.time_limit
    if limit is not None and now - start + (now - began) > limit:
      echo("There is no time for another target (--time_limit).")
      break
  rows = choosing.rows(found, steps.times(found), lowest_accuracy=lowest)
  _publish(rows, folder)
  value = [dataclasses.asdict(row) for row in rows]
  # The report shows them, too.
  artifacts.write_json(
      folder / "accelerated.json", {"lowest_accuracy": lowest, "rows": value}
  )
  gated = {each.folder.name: each for each in found[1:]}
  shown = next((r.network for r in rows if r.chosen and r.network in gated), "")
  if shown:
    steps.report(gated[shown], reference=given)
  return rows


def _continue_same(folder, settings, targets, bounds):
  """Refuses a folder of another recipe, and writes this one's."""
  path = folder / "acceleration.json"
  recipe = {
      "settings": settings,
      "targets": list(targets),
      "max_accuracy_drop": bounds.max_accuracy_drop,
  }
  if path.exists():
    theirs = artifacts.read_json(
        path, {"settings": dict}, writer="trainers.accelerate"
    )
    found = records.differences(settings, theirs["settings"])
    found += [
        f"{name}: {theirs.get(name)} there, {value} here"
        for name, value in recipe.items()
        if name != "settings" and theirs.get(name) != value
    ]
    if found:
      raise ValueError(
          f"{folder} holds an acceleration of another recipe: "
          f"{'; '.join(found)}. Give the same flags to continue it, or another "
          "--output_dir."
      )
  artifacts.write_json(path, recipe)


def _publish(rows, folder):
  """Copies what was chosen to where it is found, whole or not at all."""
  for row in rows:
    if not row.chosen or row.network == steps_lib.GIVEN:
      continue
    if row.format == "tflite":
      with artifacts.replacing(folder / "model.tflite") as temporary:
        shutil.copyfile(row.path, temporary)
      continue
    target = folder / "model" / "1"
    if target.exists():
      continue
    target.parent.mkdir(exist_ok=True)
    with scratch.folder(folder, ".model-") as temporary:
      shutil.copytree(row.path, temporary / "1")
      os.replace(temporary / "1", target)
