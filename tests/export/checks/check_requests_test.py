"""Tests of `export.checks.check_requests`."""

import numpy as np
import pytest
from scipy import special
import tensorflow as tf

from export import variants
from export.checks import check_requests
from export.decisions import dropped_blocks
from export.saved_model import serving
import image_data
import pgates
from tests.helpers import gated_networks

THRESHOLD = 0.45
NUM_IMAGES = 70

_DYNAMIC = f"threshold:{THRESHOLD}"
_OF_THRESHOLDS = ("open", "closed", "mixed")
_RESIZE = image_data.EvaluationPreparation((8, 8, 3))
_CENTER = image_data.EvaluationPreparation((8, 8, 3), center_crop=True)


@pytest.fixture(scope="module")
def model():
  """Both of its gates differ between images."""
  return gated_networks.randomize(gated_networks.user_network(), seed=5)


@pytest.fixture(scope="module")
def images():
  """Images with fractions, as resized ones have them."""
  return gated_networks.images(NUM_IMAGES)


def _decided(model, strategy):
  return dropped_blocks.Decided(
      model,
      pgates.parse_strategy(strategy),
      pgates.with_strategy(model, strategy),
  )


def _make(model, images, kind, strategy):
  gating = "dynamic" if strategy == _DYNAMIC else "fixed"
  decided = _decided(model, strategy)
  return check_requests.make(
      variants.Variant(gating, kind), decided, images, preparation=_RESIZE
  )


@pytest.fixture(scope="module")
def served(model, images):
  return _make(model, images, "saved_model", _DYNAMIC)


@pytest.fixture(scope="module")
def tflite(model, images):
  return _make(model, images, "tflite", _DYNAMIC)


@pytest.fixture(scope="module")
def fixed(model, images):
  """Format -> requests of a network without thresholds."""
  return {
      kind: _make(model, images[:4], kind, "always_open")
      for kind in ("saved_model", "tflite")
  }


def _decoded(inputs):
  return [tf.io.decode_image(encoded) for encoded in inputs["image_bytes"]]


def _images(inputs):
  """The images of a request as the network gets them, resized."""
  if "image_bytes" not in inputs:
    return inputs["images"].astype(np.float32)
  return np.stack(
      [
          tf.image.resize(image, (8, 8), antialias=True)
          for image in _decoded(inputs)
      ]
  )


def _assert_same(answer, expected):
  np.testing.assert_array_equal(answer["gates"], expected["gates"])
  for name in ("logits", "gate_logits"):
    np.testing.assert_allclose(
        answer[name], expected[name], rtol=1e-4, atol=1e-5
    )


def test_every_image_is_asked_once_in_batches_of_odd_size(
    served, tflite, images
):
  for requests in (served, tflite):
    batches = [
        inputs["images"]
        for name, (_, inputs, *_) in requests.items()
        if name.startswith("test")
    ]
    assert [len(batch) for batch in batches] == [33, 33, 4]
    np.testing.assert_array_equal(np.concatenate(batches), images)
    np.testing.assert_array_equal(requests["one"][1]["images"], images[:1])


def test_synthetic_images_are_noise_black_and_white(served):
  *noise, black, white = served["synthetic"][1]["images"]
  assert (black == 0).all() and (white == 255).all()
  noise = np.stack(noise)
  assert noise.dtype == np.float32 and noise.min() >= 0 and noise.max() <= 255
  # The deviation of a uniform variable; of its square, five standard errors.
  variance = 255**2 / 12
  error = variance * np.sqrt(0.8 / noise.size)
  assert abs(noise.var() - variance) < 5 * error
  assert len(np.unique(noise)) > 0.99 * noise.size


def test_every_served_signature_is_asked(served, fixed, model, tmp_path):
  for name in ("labels.txt", "gates.json"):
    (tmp_path / name).write_text("{}")
  for strategy, requests in (
      (_DYNAMIC, served),
      ("always_open", fixed["saved_model"]),
  ):
    server = serving.Server(
        model,
        strategy,
        labels=tmp_path / "labels.txt",
        gates=tmp_path / "gates.json",
    )
    signatures = server.signatures()
    assert {signature for signature, *_ in requests.values()} == {*signatures}
    for signature, inputs, expected, _ in requests.values():
      tensors = {name: tf.constant(value) for name, value in inputs.items()}
      gates = signatures[signature](**tensors)["gates"]
      np.testing.assert_array_equal(gates, expected["gates"])


def test_middle_of_encoded_images_is_expected_where_it_is_served(model, images):
  decided = _decided(model, "always_open")
  variant = variants.Variant("fixed", "saved_model")
  requests = check_requests.make(
      variant, decided, images[:4], preparation=_CENTER
  )
  for name in ("bytes", "other_sizes"):
    _, inputs, expected, _ = requests[name]
    middle = [image_data.center_crop(i, 8) for i in _decoded(inputs)]
    answer = decided.reference.predict_on_batch(np.stack(middle))
    _assert_same(answer, expected)


def test_files_of_another_size_are_asked_in_both_formats(served):
  contents = served["other_sizes"][1]["image_bytes"]
  assert [tf.io.is_jpeg(c).numpy() for c in contents] == [False, True]
  png, jpeg = (
      tf.cast(i, tf.float32) for i in _decoded(served["other_sizes"][1])
  )
  assert png.shape == jpeg.shape == (37, 53, 3)
  assert 0 < np.abs(png - jpeg).mean() < 10


def test_grey_files_are_asked_in_both_formats_others_as_png():
  for channels, count in ((1, 2), (4, 1)):
    contents = check_requests._of_another_size(channels)
    shapes = {tuple(tf.io.decode_image(c).shape) for c in contents}
    assert len(contents) == count and shapes == {(37, 53, channels)}


def test_whole_numbers_and_bytes_hold_the_first_images(served, images):
  whole = np.floor(images[:3])
  assert served["uint8"][1]["images"].dtype == np.uint8
  # Of a fixed length, so that NumPy's files can hold them.
  assert served["bytes"][1]["image_bytes"].dtype.kind == "S"
  for name in ("uint8", "bytes"):
    np.testing.assert_array_equal(_images(served[name][1]), whole)


def test_answers_are_those_of_keras_to_the_images_of_the_request(model, served):
  decided = pgates.with_strategy(model, _DYNAMIC)
  gates = served["test0"][2]["gates"]
  assert (gates.any(axis=0) & ~gates.all(axis=0)).all()
  names = [name for name in served if name not in _OF_THRESHOLDS]
  assert {"one", "synthetic", "uint8", "bytes", "other_sizes"} < {*names}
  for name in names:
    _, inputs, answer, _ = served[name]
    assert "threshold" not in inputs
    _assert_same(answer, decided.predict_on_batch(_images(inputs)))


def test_tflite_requests_bring_the_threshold_that_was_decided(
    served, tflite, model
):
  assert {signature for signature, *_ in tflite.values()} == {"serving_default"}
  for name, (_, inputs, answer, _) in tflite.items():
    assert inputs["threshold"].dtype == np.float32
    assert inputs["threshold"].shape == (len(inputs["images"]),)
    if name not in _OF_THRESHOLDS:
      assert (inputs["threshold"] == np.float32(THRESHOLD)).all()
    _assert_same(answer, served[name][2])


def test_nearby_answers_are_to_images_a_thousandth_of_a_level_away(
    model, served
):
  decided = pgates.with_strategy(model, _DYNAMIC)
  for name in ("test0", "synthetic", "uint8", "bytes"):
    _, inputs, expected, nearby = served[name]
    images = _images(inputs)
    moved = check_requests._nearby(images)
    step = np.abs(moved - images)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(step, 1e-3, atol=2e-5)
    _assert_same(nearby, decided.predict_on_batch(moved))
    # Small, but not nothing.
    change = np.abs(nearby["logits"] - expected["logits"]).max()
    assert 0 < change < 1e-4


def test_networks_without_thresholds_are_asked_for_none(fixed, model):
  open_model = pgates.with_strategy(model, "always_open")
  for requests in fixed.values():
    assert not {*_OF_THRESHOLDS} & {*requests}
    for _, inputs, answer, _ in requests.values():
      assert "threshold" not in inputs
      _assert_same(answer, open_model.predict_on_batch(_images(inputs)))


def test_thresholds_open_all_gates_none_and_a_mixture(served, model):
  opened, closed, mixed = (served[name] for name in _OF_THRESHOLDS)
  for signature, inputs, *_ in (opened, closed, mixed):
    assert signature == "serving_threshold"
    np.testing.assert_array_equal(inputs["images"], opened[1]["images"])
  images = opened[1]["images"]
  always = pgates.with_strategy(model, "always_open").predict_on_batch(images)
  _assert_same(opened[2], always)
  assert not closed[2]["gates"].any()

  thresholds, answer = mixed[1]["threshold"], mixed[2]
  for value, whole in ((0, opened[2]), (1, closed[2])):
    rows = np.flatnonzero(thresholds == value)
    assert len(rows) >= 3
    _assert_same(
        {name: value[rows] for name, value in answer.items()},
        {name: value[rows] for name, value in whole.items()},
    )
  between = thresholds[(thresholds > 0) & (thresholds < 1)]
  assert len(np.unique(between)) == len(between) >= 3
  probabilities = special.expit(answer["gate_logits"])
  np.testing.assert_array_equal(
      answer["gates"], probabilities > thresholds[:, None]
  )
