"""Tests of bad requests to an exported SavedModel."""

import re

import numpy as np
import pytest
import tensorflow as tf

from export.saved_model import serving
from tests.helpers import served_models
from tests.helpers import server_loader

_PNG = tf.io.encode_png(np.zeros((8, 8, 1), np.uint8)).numpy()
_IMAGES = np.zeros((2, 8, 8, 1), np.float32)
_BAD = {
    "rank": (
        ("serving_default", {"images": _IMAGES[0]}),
        r"\[8,8,1\] is not compatible with expected shape \[\?,8,8,1\]"
        r"(?s:.*)node shape_of_images",
    ),
    "size": (
        ("serving_default", {"images": np.zeros((2, 9, 9, 1), np.float32)}),
        r"\[2,9,9,1\] is not compatible(?s:.*)node shape_of_images",
    ),
    "uint8_size": (
        ("serving_uint8", {"images": np.zeros((2, 8, 8, 3), np.uint8)}),
        r"\[2,8,8,3\] is not compatible(?s:.*)node shape_of_images",
    ),
    "type": (
        ("serving_default", {"images": _IMAGES.astype(np.uint8)}),
        # TensorFlow's words, before anything of ours runs.
        "float (but|tensor but is a) uint8",
    ),
    "number": (
        (
            "serving_threshold",
            {"images": _IMAGES, "threshold": np.zeros(3, np.float32)},
        ),
        "`threshold` must hold one number for each of `images`",
    ),
    "one_for_all": (
        (
            "serving_threshold",
            {"images": _IMAGES, "threshold": np.zeros(1, np.float32)},
        ),
        "`threshold` must hold one number for each of `images`",
    ),
    "scalar": (
        (
            "serving_threshold",
            {"images": _IMAGES, "threshold": np.zeros((), np.float32)},
        ),
        r"\[\] is not compatible(?s:.*)node shape_of_threshold",
    ),
    "bytes_rank": (
        ("serving_bytes", {"image_bytes": np.array([[b"a"]])}),
        r"\[1,1\] is not compatible(?s:.*)node shape_of_image_bytes",
    ),
    "no_image": (
        # Cut off behind its header.
        ("serving_bytes", {"image_bytes": np.array([_PNG[:60]])}),
        "Invalid PNG",
    ),
}


# Requests that are answered, though not every example has an answer.
_ODD = {
    "empty": ("serving_default", {"images": _IMAGES[:0]}),
    "other_file": (
        "serving_bytes",
        {"image_bytes": np.array([_PNG, b"none"])},
    ),
    "nan": (
        "serving_default",
        {"images": np.stack([_IMAGES[0], _IMAGES[0] + np.nan])},
    ),
    "threshold": (
        "serving_threshold",
        {"images": _IMAGES, "threshold": np.float32([0.5, 1.5])},
    ),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  folder = tmp_path_factory.mktemp("served")
  model = served_models.network()
  return served_models.export(model, folder, "digits") / "digits" / "1"


@pytest.fixture(scope="module")
def received(path):
  """Through the loader of a server, in a process that may end."""
  requests = {name: request for name, (request, _) in _BAD.items()}
  return server_loader.answers(path, requests | _ODD)


@pytest.fixture(scope="module")
def loaded(path, received):
  return tf.saved_model.load(str(path))


def test_what_has_no_answer_leaves_its_neighbours_theirs(received):
  assert received["empty"]["probabilities"].shape == (0, 10)
  for name in ("other_file", "nan", "threshold"):
    classes = received[name]["classes"]
    assert classes[0] >= 0 and classes[1] == serving.INVALID_CLASS
    missing = np.isnan(received[name]["probabilities"])
    assert missing.all(axis=1).tolist() == [False, True]


@pytest.mark.parametrize("name", _BAD)
def test_bad_input_is_refused_by_its_name(received, loaded, name):
  (signature, inputs), message = _BAD[name]
  assert re.search(message, str(received[name]["error"]))
  tensors = {key: tf.constant(value) for key, value in inputs.items()}
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    loaded.signatures[signature](**tensors)


def test_an_input_that_is_not_there_is_named(loaded):
  with pytest.raises(TypeError, match="missing a required argument: 'thresh"):
    loaded.signatures["serving_threshold"](images=tf.constant(_IMAGES))
