"""Tests of `export.tflite.conversion`."""

from ai_edge_litert import interpreter
import keras
import numpy as np
import pytest
import tensorflow as tf

from export.tflite import conversion
from export.tflite import tflite_graph
import pgates
from tests.helpers import gated_networks


@pytest.fixture(scope="module")
def model():
  return gated_networks.resnet()


@pytest.fixture(name="plain", scope="module")
def _plain(model):
  """A file without quantization."""
  return conversion.convert(model, dynamic=True)


def _run(content, images, threshold=None):
  runner = interpreter.Interpreter(model_content=content).get_signature_runner()
  more = {} if threshold is None else {"threshold": np.float32(threshold)}
  answers = [runner(images=image[None], **more) for image in images]
  return {
      name: np.concatenate([answer[name] for answer in answers])
      for name in answers[0]
  }


def test_dynamic_file_skips_as_keras_does_at_any_threshold(model, plain):
  images = gated_networks.images()
  for threshold in (0.0, 0.3, 0.5, 1.0):
    decided = pgates.with_strategy(model, f"threshold:{threshold}")
    expected = decided(images, training=False)
    answer = _run(plain, images, threshold)
    np.testing.assert_array_equal(answer["gates"], expected["gates"])
    np.testing.assert_allclose(
        answer["probabilities"],
        tf.nn.softmax(expected["logits"]),
        rtol=1e-3,
        atol=1e-5,
    )


def test_each_branch_is_a_graph_of_its_own_with_its_weights(plain):
  rows = tflite_graph.operators(plain)
  assert sum(row["operation"] == "IF" for row in rows) == 3
  inside = [r for r in rows if r["subgraph"] and r["operation"] == "CONV_2D"]
  assert len(inside) == 6
  assert len({row["subgraph"] for row in inside}) == 3


@pytest.mark.slow
def test_fixed_file_is_smaller_by_the_removed_branch(model):
  whole = pgates.prune(model, [], always_open=[0, 1, 2])
  pruned = pgates.prune(model, [2], always_open=[0, 1])
  sizes = [len(conversion.convert(m, dynamic=False)) for m in (whole, pruned)]
  branch = 4 * 9 * (32 * 64 + 64 * 64)  # Bytes of its kernels.
  assert branch <= sizes[0] - sizes[1] <= 1.1 * branch
  images = gated_networks.images()
  np.testing.assert_allclose(
      _run(conversion.convert(pruned, dynamic=False), images)["probabilities"],
      tf.nn.softmax(pruned.predict(images, verbose=0)["logits"]),
      rtol=1e-3,
      atol=1e-5,
  )


@pytest.mark.parametrize("quantization", ["float16", "dynamic_range"])
def test_quantized_files_are_smaller_and_near(model, plain, quantization):
  images = gated_networks.images()
  content = conversion.convert(model, dynamic=True, quantization=quantization)
  factor = {"float16": 0.6, "dynamic_range": 0.4}[quantization]
  assert len(content) < factor * len(plain)
  difference = np.abs(
      _run(content, images, 0.0)["probabilities"]
      - _run(plain, images, 0.0)["probabilities"]
  )
  assert (
      difference.max() < {"float16": 0.01, "dynamic_range": 0.1}[quantization]
  )


class _BrightnessGate(pgates.Gate):
  """A gate of a user's, whose shapes alone check nothing."""

  def call(self, inputs):
    return 0.05 * (tf.reduce_mean(inputs, axis=[1, 2, 3]) - 100)


def _network_of_brightness():
  x = images = keras.Input((8, 8, 3), name="images")
  decisions = []
  for _ in range(2):
    branch = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same")])
    x, *decision = pgates.GatedResidual(branch, gate=_BrightnessGate())(x)
    decisions.append(decision)
  logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
  outputs = pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  return gated_networks.randomize(pgates.GatedModel(images, outputs))


_Kernels = interpreter.OpResolverType


@pytest.mark.parametrize(
    "kernels", [_Kernels.AUTO, _Kernels.BUILTIN_REF], ids=["default", "plain"]
)
@pytest.mark.parametrize(
    "user",
    [pytest.param(False, marks=pytest.mark.slow), True],
    ids=["resnet", "user"],
)
def test_a_batch_of_two_is_refused_before_it_is_computed(model, kernels, user):
  content = conversion.convert(
      _network_of_brightness() if user else model, dynamic=True
  )
  images = np.float32([20, 200])[:, None, None, None] + np.zeros((8, 8, 3))
  runner = interpreter.Interpreter(
      model_content=content, experimental_op_resolver_type=kernels
  ).get_signature_runner()
  message = r"failed to reshape|num_output_elements \(2 != 1\)"
  with pytest.raises(RuntimeError, match=message):
    runner(images=np.float32(images), threshold=np.float32(0.5))


@pytest.mark.parametrize(
    "dynamic", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_strict_resizing_refuses_batches_and_sizes(model, dynamic):
  source = model if dynamic else pgates.prune(model, [], always_open=[0, 1, 2])
  loaded = interpreter.Interpreter(
      model_content=conversion.convert(source, dynamic=dynamic)
  )
  (images,) = (
      tensor["index"]
      for tensor in loaded.get_input_details()
      if "images" in tensor["name"]
  )
  for shape in ([2, 8, 8, 3], [1, 9, 9, 3]):
    with pytest.raises(RuntimeError, match="only allows mutating unknown"):
      loaded.resize_tensor_input(images, shape, strict=True)
  with pytest.raises(ValueError, match="UINT8 but expected type FLOAT32.*imag"):
    loaded.set_tensor(images, np.zeros((1, 8, 8, 3), np.uint8))


def test_int8_needs_images(model):
  with pytest.raises(ValueError, match="calibrate"):
    conversion.convert(model, dynamic=True, quantization="int8", images=None)
