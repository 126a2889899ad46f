"""The splits that each data set has."""

SPLITS = ("train", "validation", "test")


def check_split(split: str) -> None:
  """Raises a ValueError for what is none of them."""
  if split not in SPLITS:
    raise ValueError(
        f"Unknown split {split!r}. Expected one of {', '.join(SPLITS)}."
    )
