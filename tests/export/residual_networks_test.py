"""Exports of networks of others, whose blocks were found and gated."""

import gc
import json

from ai_edge_litert import interpreter
import keras
import numpy as np
import pytest
import tensorflow as tf

from export import exporting
from export import run
from export import variants
from export.checks import self_check
from export.decisions import dropped_blocks
from export.inputs import data as data_lib
from export.saved_model import serving
from export.tflite import conversion
from export.timing import whole_times
import image_data
import pgates
from tests.helpers import residual_networks as networks


def _gated(make, **kwargs):
  """A gated network whose gates differ between images, and images."""
  model = make()
  gated = pgates.gate_residuals(model, min_share=0, **kwargs)
  return _spread(gated, networks.images_of(model, 8))


def _spread(gated, images):
  networks.spread(gated, images)
  expected = pgates.with_strategy(gated, "map")(images, training=False)
  assert 0 < np.mean(expected["gates"]) < 1
  return gated, images, {k: np.asarray(v) for k, v in expected.items()}


@pytest.fixture(name="toy", scope="module")
def _toy():
  return _gated(networks.toy)


def _assert_near(received, expected):
  np.testing.assert_array_equal(received["gates"], expected["gates"])
  np.testing.assert_allclose(
      received["logits"], expected["logits"], rtol=1e-3, atol=1e-4
  )


def test_served_core_decides_and_computes_as_keras_does(toy):
  gated, images, expected = toy
  core = serving.make_core(gated, "map", execution="routed")
  _assert_near(core(images), expected)
  by_threshold = serving.make_core(gated, "threshold", execution="routed")
  _assert_near(by_threshold(images, np.full(8, 0.5, np.float32)), expected)


def test_attention_outside_of_a_block_is_frozen_too():
  gated, images, expected = _gated(
      lambda: networks.vit(1, 8), skip=["attention0"]
  )
  core = serving.make_core(gated, "map", execution="routed")
  _assert_near(core(images), expected)


def _run(content, images, **more):
  runner = interpreter.Interpreter(model_content=content).get_signature_runner()
  answers = [runner(images=image[None], **more) for image in images]
  return {
      name: np.concatenate([answer[name] for answer in answers])
      for name in answers[0]
  }


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [networks.toy, lambda: networks.vit(1, 8)], ids=["toy", "ViT"]
)
def test_tflite_file_skips_as_keras_does(make):
  gated, images, expected = _gated(make)
  content = conversion.convert(gated, dynamic=True)
  answer = _run(content, images, threshold=np.float32(0.5))
  np.testing.assert_array_equal(answer["gates"], expected["gates"])
  np.testing.assert_allclose(
      answer["probabilities"],
      tf.nn.softmax(expected["logits"]),
      rtol=1e-3,
      atol=1e-5,
  )


@pytest.mark.slow
@pytest.mark.parametrize("costs", ["macs", "measured"])
def test_auto_gating_exports_a_network_of_others_from_its_file(
    costs, tmp_path, data_dir, monkeypatch
):
  monkeypatch.setattr(whole_times, "ROUNDS", (2, 4))
  gated, _, _ = _gated(lambda: networks.inverted_residuals(8))
  gated.save(tmp_path / "gated.keras")
  run.run(
      run.Options(
          model=str(tmp_path / "gated.keras"),
          dataset="digits",
          data_dir=str(data_dir),
          output_dir=str(tmp_path / "out"),
          format=("saved_model", "tflite"),
          num_examples=40,
          costs=costs,
      )
  )
  described = json.loads((tmp_path / "out" / "export.json").read_text())
  assert len(described["variants"]) == 2
  for row in described["variants"]:
    decisions = row["auto"]["decisions"]
    assert len(decisions) == 3
    left = gated.macs.fixed
    for decision, gate, branch in zip(
        decisions, gated.macs.gates, gated.macs.branches, strict=True
    ):
      left += {"removed": 0, "open": branch, "deciding": gate + branch}[
          decision
      ]
    assert row["dense_macs"] == left
    assert row["gate_agreement"] == 1
    assert row["accuracy"] == row["keras_accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "int8"])
@pytest.mark.parametrize("form", ["saved_model", "tflite"])
@pytest.mark.parametrize("gating", ["dynamic", "fixed"])
def test_every_kind_of_export_passes_its_check(
    toy, gating, form, quantization, tmp_path
):
  if form == "saved_model" and quantization != "none":
    pytest.skip("SavedModels are of float32.")
  _check_export(toy, variants.Variant(gating, form, quantization), tmp_path)


@pytest.fixture(name="known", scope="module", params=networks.SLOW)
def _known(request):
  make, _ = networks.SLOW[request.param]
  model = make()
  gated = pgates.gate_residuals(model, min_share=0)
  # Of images as checks make them, lest rounding grows from block to block.
  images = 255 * networks.images_of(model, 40)
  of_training = tf.data.Dataset.from_tensor_slices((images[8:],)).batch(32)
  pgates.reestimate_batch_norm(gated, of_training, 1, strategy="always_open")
  logits = gated(images[:8], training=False)["logits"]
  for variable in model.layers[-1].variables:
    variable.assign(variable / np.std(logits))
  yield _spread(gated, images[:8])
  # Eleven networks and their exports would not fit in memory.
  keras.backend.clear_session()
  gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["saved_model", "tflite"])
@pytest.mark.parametrize("gating", ["dynamic", "fixed"])
def test_exports_of_known_networks_pass_their_checks(
    known, gating, form, tmp_path
):
  _check_export(known, variants.Variant(gating, form, "none"), tmp_path)


def _check_export(network, variant, folder):
  gated, images, expected = network
  labels = expected["logits"].argmax(axis=-1)
  batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
  data = data_lib.Data(
      examples=self_check.Examples(
          images, labels, image_data.EvaluationPreparation(images.shape[1:])
      ),
      validation=batches,
      calibration=images,
      class_names=[str(i) for i in range(10)],
  )
  decided = dropped_blocks.decide(
      gated, pgates.parse_strategy("map"), variant.gating, batches
  )
  _, size, report = exporting.export_variant(
      variant, decided, data, folder=folder, name="known", metadata={}
  )
  assert size > 0
  if variant.quantization == "none":
    assert report.gate_agreement == 1
    if variant.gating == "dynamic":
      assert report.accuracy == 1
