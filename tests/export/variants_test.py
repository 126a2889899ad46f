"""Tests of `export.variants`."""

import pytest

from export import variants
import pgates


def test_variants_are_the_product_but_for_quantized_saved_models():
  found = variants.all_variants(
      ["fixed", "dynamic"], ["saved_model", "tflite"], ["none", "int8"]
  )
  assert [(v.gating, v.format, v.quantization) for v in found] == [
      ("fixed", "saved_model", "none"),
      ("fixed", "tflite", "none"),
      ("fixed", "tflite", "int8"),
      ("dynamic", "saved_model", "none"),
      ("dynamic", "tflite", "none"),
      ("dynamic", "tflite", "int8"),
  ]
  assert found[2].name == "fixed_int8"


@pytest.mark.parametrize(
    "arguments",
    [
        (["fixt"], ["tflite"], ["none"]),
        (["fixed"], ["onnx"], ["none"]),
        (["fixed"], ["tflite"], ["int4"]),
        ([], ["tflite"], ["none"]),
    ],
)
def test_unknown_names_are_refused(arguments):
  with pytest.raises(ValueError, match="takes names out of"):
    variants.all_variants(*arguments)


def test_quantization_of_nothing_is_refused():
  with pytest.raises(ValueError, match="--format has no tflite.*int8"):
    variants.all_variants(["fixed"], ["saved_model"], ["none", "int8"])


@pytest.mark.parametrize(
    ("gating", "kind", "strategy"),
    [
        ("dynamic", "saved_model", "prune:0.5"),
        ("dynamic", "tflite", "sampled"),
        ("dynamic", "tflite", "expected"),
        ("fixed", "tflite", "budget:0.5"),
        ("fixed", "saved_model", "ensemble:3"),
    ],
)
def test_what_does_not_go_is_refused_with_a_reason(gating, kind, strategy):
  with pytest.raises(ValueError, match="does not go with.*What goes"):
    variants.check_strategy(
        variants.Variant(gating, kind), pgates.parse_strategy(strategy)
    )


def test_every_strategy_goes_somewhere():
  goes = {
      (gating, format): variants.allowed(variants.Variant(gating, format))
      for gating in variants.GATINGS
      for format in variants.FORMATS
  }
  assert {name for names in goes.values() for name in names} == set(
      pgates.STRATEGIES
  )
  # As docs/export.md shows.
  by_threshold = ["map", "threshold", "budget", "settled"]
  assert goes["auto", "tflite"] == goes["auto", "saved_model"] == by_threshold
  assert goes["dynamic", "tflite"] == by_threshold
  fixed = ["map", "threshold", "always_open", "prune", "top_k"]
  assert goes["fixed", "tflite"] == goes["fixed", "saved_model"] == fixed
  assert sorted(goes["dynamic", "saved_model"]) == sorted(
      {*pgates.STRATEGIES} - {"prune", "top_k"}
  )
