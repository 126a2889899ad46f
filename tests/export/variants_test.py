"""Tests of `export.variants`."""

import numpy as np
import pytest
import tensorflow as tf

from export import variants
import pgates
from tests.helpers import gated_networks


def _data():
  images = gated_networks.images(40)
  return tf.data.Dataset.from_tensor_slices((images, np.zeros(40))).batch(16)


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


def test_fixed_map_of_independent_gates_is_map():
  model = gated_networks.resnet(gate="independent")
  for block, logit in zip(
      pgates.gated_blocks(model), (0.1, -0.1, 2.0), strict=True
  ):
    block.gate.logit.assign(logit)
  decided = variants.decide(
      model, pgates.parse_strategy("map"), "fixed", _data()
  )
  assert decided.threshold is None
  images = gated_networks.images()
  received = decided.model.predict(images, verbose=0)
  assert received["gates"].tolist() == [[1, 0, 1]] * len(images)
  np.testing.assert_allclose(
      received["logits"], model.predict(images, verbose=0)["logits"], rtol=1e-4
  )


def test_fixed_gates_of_dependent_ones_follow_the_validation_data():
  model = gated_networks.resnet()
  rates, _ = pgates.measure_gates(model, _data(), strategy="threshold:0.4")
  decided = variants.decide(
      model, pgates.parse_strategy("threshold:0.4"), "fixed", _data()
  )
  gates = decided.model.predict(gated_networks.images(), verbose=0)["gates"]
  assert gates[0].tolist() == (rates > 0.5).astype(float).tolist()
  assert len(set(gates[0])) == 2


def test_a_budget_becomes_a_threshold():
  model = gated_networks.resnet()
  decided = variants.decide(
      model, pgates.parse_strategy("budget:0.6"), "dynamic", _data()
  )
  assert str(decided.strategy) == f"threshold:{decided.threshold!r}"
  assert decided.threshold == pgates.budget_threshold(model, 0.6, _data())
