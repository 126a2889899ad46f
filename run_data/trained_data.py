"""Which data a run was trained on, to notice that they have changed."""

from typing import Any

from absl import logging

import image_data

Dataset = image_data.ImageDataset | image_data.ImageFolder


def describe(dataset: Dataset) -> dict[str, Any]:
  """What `config.json` holds of a data set, a dict."""
  return {
      "version": dataset.version,
      "examples": {
          split: dataset.num_examples(split) for split in image_data.SPLITS
      },
      "classes": dataset.class_names,
  }


def counts(dataset: Dataset) -> str:
  """How many images of a data set each split has, as a sentence."""
  train, validation, test = map(dataset.num_examples, image_data.SPLITS)
  return (
      f"{dataset.name}: {train:,} images of {dataset.num_classes} classes to "
      f"train on, {validation:,} to validate, {test:,} to test."
  )


def check_to_continue(
    recorded: dict[str, Any] | None, dataset: Dataset
) -> None:
  """Refuses data that differ at all from those of the run so far.

  Args:
    recorded: `describe` of then; None, of older runs, is not checked.
    dataset: to go on with.

  Raises:
    ValueError: names what differs.
  """
  found = _differences(recorded, dataset)
  if found:
    raise ValueError(
        f"{dataset.name} has changed since this run began: {'; '.join(found)}. "
        "Continue with the same data, or begin a run in another --workdir."
    )


def check_to_read(recorded: dict[str, Any] | None, dataset: Dataset) -> None:
  """Refuses data of other classes; warns where images are others.

  Args:
    recorded: `describe` of when the run began; None is not checked.
    dataset: to read.

  Raises:
    ValueError: names what differs in the classes.
  """
  found = _differences(recorded, dataset)
  if any(each.startswith("classes") for each in found):
    raise ValueError(
        f"{dataset.name} has other classes than the run was trained on: "
        f"{'; '.join(found)}."
    )
  if found:
    logging.warning(
        "%s has changed since the run was trained (%s): images that are "
        "evaluated now may have been trained on.",
        dataset.name,
        "; ".join(found),
    )


def _differences(recorded, dataset):
  if recorded is None:
    return []
  found, now = [], describe(dataset)
  then, classes = recorded["classes"], now["classes"]
  if then != classes:
    gone = [name for name in then if name not in classes]
    new = [name for name in classes if name not in then]
    moved = [a for a, b in zip(then, classes, strict=False) if a != b]
    found.append(
        f"classes: in another order ({_names(moved)})"
        if not gone and not new
        else f"classes: {len(then)} then, {len(classes)} now (gone: "
        f"{_names(gone)}; new: {_names(new)})"
    )
  found += [
      f"{split}: {recorded['examples'][split]} images then, {count} now"
      for split, count in now["examples"].items()
      if count != recorded["examples"][split]
  ]
  if not found and recorded["version"] != now["version"]:
    found.append(f"version {recorded['version']} then, {now['version']} now")
  return found


def _names(names):
  shown = ", ".join(names[:5]) or "none"
  return f"{shown}, ..." if len(names) > 5 else shown
