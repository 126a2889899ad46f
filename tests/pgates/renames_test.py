"""Tests of `pgates.renames`."""

import pytest

import pgates
from pgates import renames
from tests.helpers import toys


def test_old_name_is_refused_with_the_new_one():
  @renames.renamed(colour="color")
  def paint(color):
    """Paints."""
    return color

  assert paint("red") == paint(color="red") == "red"
  assert paint.__doc__ == "Paints."
  with pytest.raises(TypeError, match="paint: .*`colour` is now.*`color`"):
    paint(colour="red")


@pytest.mark.parametrize(
    "old, new", [("opened", "always_open"), ("closed", "dropped")]
)
def test_arguments_of_prune_are_renamed(old, new):
  with pytest.raises(TypeError, match=f"`{old}` is now called `{new}`"):
    pgates.prune(toys.mixed_model(), **{old: [0]})
