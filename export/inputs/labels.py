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
    ValueError: if there are more or fewer names than classes, or the file is
      not UTF-8.
  """
  if path is None:
    return dataset.class_names
  try:
    # Editors of Windows put a byte order mark before the first name.
    text = pathlib.Path(path).expanduser().read_text("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
        f"--labels: {path} is not UTF-8 (at byte {error.start}). Save it as "
        "UTF-8, or convert it: iconv -f latin1 -t utf-8."
    ) from error
  names = text.splitlines()
  if len(names) != dataset.num_classes:
    raise ValueError(
        f"--labels: {path} has {len(names)} lines; {dataset.name} has "
        f"{dataset.num_classes} classes."
    )
  return names
