"""Results that are written as they come, to go on where a program stopped."""

from file_io import artifacts


def rows(path, description):
  """The rows that an unfinished file of this command has.

  Args:
    path: of the file.
    description: what the file says besides its rows.

  Returns:
    A list; empty where there is no file, or it is of something else.
  """
  if not path.exists():
    return []
  found = artifacts.read_json(path)
  measured = found.pop("rows", [])
  return measured if found == description else []
