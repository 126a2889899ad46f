"""Tests of `trainers.settings.network_arguments`."""

import pytest

from trainers.settings import network_arguments


def test_values_are_numbers_truths_and_words():
  texts = [
      "a=2",
      "b=0.35",
      "c=-1e-3",
      "d=true",
      "e=False",
      " f = swish ",
      "g=nan",
  ]
  found = network_arguments.parse(texts)
  assert found == {
      "a": 2,
      "b": 0.35,
      "c": -0.001,
      "d": True,
      "e": False,
      "f": "swish",
      "g": "nan",  # No number that a network could take.
  }
  assert [type(found[name]) for name in "abde"] == [int, float, bool, bool]
  assert network_arguments.parse([]) == {}


@pytest.mark.parametrize(
    "texts", [["alpha"], ["alpha="], ["=1"], ["2a=1"], ["a=1", "a=2"], [""]]
)
def test_other_texts_are_refused(texts):
  with pytest.raises(ValueError, match="NAME=VALUE.*Received: "):
    network_arguments.parse(texts)
