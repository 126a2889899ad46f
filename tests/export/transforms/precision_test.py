"""Tests of `export.transforms.precision`."""

import keras
import numpy as np
import pytest

from export.transforms import precision
from tests.helpers import gated_networks
from tests.helpers import parameters


@pytest.fixture(
    name="policy",
    params=parameters.slow_after(
        1, ["mixed_bfloat16", "mixed_float16", "bfloat16"]
    ),
)
def _policy(request):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(request.param)
  yield request.param
  keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    "make",
    parameters.slow_after(
        1, [gated_networks.user_network, gated_networks.resnet]
    ),
)
def test_a_copy_computes_in_float32_with_the_same_weights(
    policy, make, tmp_path
):
  path = tmp_path / "model.keras"
  trained = make()
  trained.save(path)
  keras.config.set_dtype_policy("float32")
  expected = make()
  expected.set_weights(trained.get_weights())
  images = gated_networks.images()
  wanted = expected.predict(images, verbose=0)
  copy = precision.in_float32(keras.models.load_model(path))
  found = copy.predict(images, verbose=0)
  for name in ("logits", "gate_logits"):
    np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-5)
  # What it was trained in gives something else.
  rounded = np.abs(
      trained.predict(images, verbose=0)["logits"] - wanted["logits"]
  )
  assert rounded.max() > 1e-4, policy


def test_a_network_in_float32_is_left_alone():
  model = gated_networks.resnet()
  assert precision.in_float32(model) is model
