"""The labels of an export: the names of its classes, in their order."""

import os
import pathlib

import image_data


def class_names(
    path: str | os.PathLike | None,
    dataset: image_data.ImageDataset | image_data.ImageFolder,
) -> list[str]:
  """The names of the classes, as `labels.txt` holds them.

  Args:
    path: of a file of names, one a line; None for those of the data set.
    dataset: that the network is measured on.

  Raises:
    ValueError: if there are more or fewer names than classes.
  """
  if path is None:
    return dataset.class_names
  names = pathlib.Path(path).expanduser().read_text("utf-8").splitlines()
  if len(names) != dataset.num_classes:
    raise ValueError(
        f"--labels: {path} has {len(names)} lines; {dataset.name} has "
        f"{dataset.num_classes} classes."
    )
  return names
