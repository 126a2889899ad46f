"""Tests of `export.exporting`."""

import json

from ai_edge_litert import interpreter
import keras
import numpy as np
import pytest
import tensorflow as tf

from export import destination
from export import exporting
from export import variants
from export.checks import comparison
from export.checks import self_check
from export.decisions import dropped_blocks
from export.inputs import data as data_lib
from export.saved_model import saved_models
from export.tflite import conversion
import image_data
import pgates
from tests.helpers import gated_networks

NUM_EXAMPLES = 20
DIGITS = ["zero", "one", "two", "three", "four"]
DIGITS += ["five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def model():
  """Both of its gates differ between images."""
  return gated_networks.randomize(gated_networks.user_network(), seed=5)


@pytest.fixture(scope="module")
def data(model):
  """Labels are what the whole network says, but for five examples."""
  images = np.floor(gated_networks.images(NUM_EXAMPLES))
  outputs = pgates.with_strategy(model, "always_open").predict_on_batch(images)
  labels = np.asarray(outputs["logits"]).argmax(axis=-1)
  labels[:5] = (labels[:5] + 1) % 10
  batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
  return data_lib.Data(
      examples=self_check.Examples(
          images, labels, image_data.EvaluationPreparation((8, 8, 3))
      ),
      validation=batches,
      calibration=images[:2],
      class_names=DIGITS,
  )


def _results(model, strategy, data):
  """Accuracy and mean executed multiply-adds, counted by NumPy."""
  images, labels = data.examples.images, data.examples.labels
  decided = pgates.with_strategy(model, strategy)
  outputs = decided.predict(images, verbose=0)
  ran = outputs["gates"] @ np.array(model.macs.branches)
  hits = outputs["logits"].argmax(axis=-1) == labels
  return np.mean(hits), model.macs.always + np.mean(ran)


def test_results_of_keras_are_those_of_the_decisions(model, data):
  decided = dropped_blocks.decide(
      model, pgates.parse_strategy("threshold:0.4"), "dynamic", None
  )
  results = exporting.keras_results(decided, data.examples)
  accuracy, macs = _results(model, "threshold:0.4", data)
  assert results == {"keras_accuracy": accuracy, "macs": macs}
  assert model.macs.always < macs < model.macs.dense
  json.dumps(results)


def _export(variant, decided, data, folder, *, name, metadata):
  """As `run` does: what was returned, of where it is in the end."""
  with destination.staged(folder) as staging:
    path, *found = exporting.export_variant(
        variant, decided, data, folder=staging, name=name, metadata=metadata
    )
    assert path == staging / name
    places = destination.publish(staging, folder, [name])
  return folder / places[name], *found


@pytest.fixture(scope="module")
def published(tmp_path_factory, model, data):
  """`(folder of exports, what the export of a SavedModel returned)`."""
  folder = tmp_path_factory.mktemp("exports")
  result = _export(
      variants.Variant("dynamic", "saved_model"),
      dropped_blocks.decide(
          model, pgates.parse_strategy("map"), "dynamic", None
      ),
      data,
      folder,
      name="digits",
      metadata={"strategy": "map", "gates": [1, 2]},
  )
  return folder, result


def _files(folder):
  return {
      str(path.relative_to(folder)): path.read_bytes()
      for path in folder.rglob("*")
      if path.is_file() and path.name != ".lock"
  }


@pytest.mark.slow
def test_saved_model_is_published_with_what_was_found(published, data):
  folder, (path, size, report) = published
  assert path == folder / "digits" / "1"
  files = _files(path)
  assert size == sum(map(len, files.values()))
  assert files["assets/labels.txt"].decode().splitlines() == DIGITS
  assert json.loads(files["assets/gates.json"]) == {
      "strategy": "map",
      "gates": [1, 2],
  }
  warmup = tf.data.TFRecordDataset(
      str(path / "assets.extra" / "tf_serving_warmup_requests")
  )
  assert all(b"digits" in record for record in warmup.as_numpy_iterator())
  assert report.accuracy == np.mean(
      tf.saved_model.load(str(path)).signatures["serving_default"](
          images=tf.constant(data.examples.images)
      )["classes"]
      == data.examples.labels
  )
  assert report.gate_agreement == 1 and report.examples > NUM_EXAMPLES


@pytest.mark.slow
def test_a_failed_check_publishes_no_version(published, model, data):
  folder, _ = published
  before = _files(folder)
  other = pgates.with_strategy(model, "threshold:0.6")
  with pytest.raises(comparison.CheckFailed, match=r"Gate \d of example"):
    _export(
        variants.Variant("dynamic", "saved_model"),
        dropped_blocks.Decided(
            model, pgates.parse_strategy("map"), reference=other
        ),
        data,
        folder,
        name="digits",
        metadata={},
    )
  assert _files(folder) == before
  assert saved_models.existing_versions(folder / "digits") == [1]


class _Noise(keras.layers.Layer):

  def call(self, inputs):
    return inputs + tf.random.normal(tf.shape(inputs), stddev=1e-9)


def test_a_graph_with_noise_is_not_published(tmp_path, data):
  images = keras.Input((8, 8, 3), name="images")
  branch = keras.Sequential([_Noise()])
  block = pgates.GatedResidual(branch, gate=pgates.DataDependentGate(), macs=1)
  x, gate, logit = block(images)
  logits = keras.layers.Dense(10)(keras.layers.Flatten()(x))
  model = pgates.GatedModel(
      images, pgates.gated_outputs(logits, [gate], [logit])
  )
  with pytest.raises(ValueError, match="must not be served.*Random"):
    _export(
        variants.Variant("dynamic", "saved_model"),
        dropped_blocks.decide(
            model, pgates.parse_strategy("map"), "dynamic", None
        ),
        data,
        tmp_path,
        name="noisy",
        metadata={},
    )
  assert not _files(tmp_path)


def _export_tflite(decided, data, folder, *, quantization="none"):
  gating = "fixed" if decided.threshold is None else "dynamic"
  return _export(
      variants.Variant(gating, "tflite", quantization),
      decided,
      data,
      folder,
      name="digits.tflite",
      metadata={},
  )


def test_tflite_file_is_published_unless_its_check_fails(tmp_path, model, data):
  dynamic = dropped_blocks.decide(
      model, pgates.parse_strategy("map"), "dynamic", None
  )
  path, size, report = _export_tflite(dynamic, data, tmp_path)
  assert path == tmp_path / "digits.tflite"
  before = _files(tmp_path)
  assert {*before} == {"digits.tflite"} and size == path.stat().st_size
  assert report.accuracy == _results(model, "map", data)[0]
  runner = interpreter.Interpreter(str(path)).get_signature_runner()
  assert "threshold" in runner.get_input_details()

  first, second = (
      pgates.prune(model, [i], always_open=[1 - i]) for i in range(2)
  )
  wrong = dropped_blocks.Decided(
      first, pgates.parse_strategy("always_open"), reference=second
  )
  with pytest.raises(comparison.CheckFailed, match="digits"):
    _export_tflite(wrong, data, tmp_path)
  assert _files(tmp_path) == before

  right = dropped_blocks.Decided(
      first, pgates.parse_strategy("always_open"), reference=first
  )
  _export_tflite(right, data, tmp_path)
  assert {*_files(tmp_path)} == {"digits.tflite"}
  runner = interpreter.Interpreter(str(path)).get_signature_runner()
  assert "threshold" not in runner.get_input_details()


@pytest.mark.slow
def test_int8_is_calibrated_on_the_data_and_must_be_whole(
    tmp_path, model, data, monkeypatch
):
  decided = dropped_blocks.decide(
      model, pgates.parse_strategy("map"), "dynamic", None
  )
  _, _, report = _export_tflite(decided, data, tmp_path, quantization="int8")
  assert 0 < report.largest_difference < 0.3
  before = _files(tmp_path)

  def closed(self, images):
    for image in images:
      yield {"images": image[None], "threshold": np.float32(1)}

  # A calibration that never runs the branches leaves them float32.
  monkeypatch.setattr(conversion._Module, "calibration", closed)
  with pytest.raises(ValueError, match="stayed float32"):
    _export_tflite(decided, data, tmp_path, quantization="int8")
  assert _files(tmp_path) == before
