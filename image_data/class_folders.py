"""The folders of classes in a folder, and the images in them."""

import collections
import os
import pathlib

from absl import logging

from image_data import decoding

# Folders that programs leave in others, beside those whose names begin with a
# dot (.git, .ipynb_checkpoints): unpacked archives, and network drives.
_LEFT_BEHIND = ("__MACOSX", "@eaDir")


def read(folder: pathlib.Path) -> dict[str, list[str]]:
  """Lists the images of each class, and warns of what is left out.

  Args:
    folder: that holds `CLASS/NAME.jpg`.

  Returns:
    class -> paths of its images, sorted.

  Raises:
    ValueError: if a class is empty, or its name is not one line of UTF-8.
  """
  classes, omitted = {}, collections.defaultdict(list)
  for part in filter(pathlib.Path.is_dir, sorted(folder.iterdir())):
    if part.name.startswith(".") or part.name in _LEFT_BEHIND:
      omitted["hidden folders"].append(str(part))
      continue
    _check_name(part)
    images = classes[part.name] = []
    for path in sorted(map(str, part.iterdir())):
      kind = _kind_to_omit(path)
      if kind is None:
        images.append(path)
      else:
        omitted[kind].append(path)
  if omitted:
    logging.warning(
        "%s: omitted %s. Expected CLASS/NAME with one of %s.",
        folder,
        ", ".join(
            f"{len(paths)} {kind} (such as {paths[0]})"
            for kind, paths in sorted(omitted.items())
        ),
        ", ".join(decoding.SUFFIXES),
    )
  empty = [name for name, files in classes.items() if not files]
  if empty or not classes:
    what = f"the classes {', '.join(empty)}" if empty else "it"
    raise ValueError(
        f"In {folder}, {what} is without images. Expected CLASS/NAME with one "
        f"of {', '.join(decoding.SUFFIXES)}."
    )
  return classes


def _check_name(folder):
  """Refuses a name that does not fit into a list of one class a line."""
  name = folder.name
  try:
    name.encode()
  except UnicodeEncodeError as error:
    raise ValueError(
        f"The name of the folder {os.fsencode(folder)!r} is not UTF-8, so that "
        "it cannot be the name of a class. Rename it."
    ) from error
  if name.splitlines() != [name]:
    raise ValueError(
        f"The name of the folder {str(folder)!r} holds a line break, and names "
        "of classes are kept one a line. Rename it."
    )


def _kind_to_omit(path):
  """What a path in a class is, if it is no image; else None."""
  name = os.path.basename(path)
  if name.startswith("."):
    return "hidden files"  # On macOS, `._NAME.jpg` is no image.
  if os.path.isdir(path):
    return "folders in classes"
  if os.path.splitext(name)[1].lower() in decoding.SUFFIXES:
    return None
  return "files of other endings"
