"""Tests of `image_data.preparation`."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import preparation
from image_data import rand_augment

_IMAGE = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(np.uint8)


def _prepare(position=3, *, seed=1, size=8, name="shift", magnitude=0.0):
  training = image_data.TrainingPreparation(
      image_size=size, augmentation=name, rand_augment=magnitude
  )
  prepare = training.function((12, 10, 3), seed=seed)
  return prepare(tf.constant(_IMAGE), tf.constant(position, tf.int64)).numpy()


def test_rand_augment_comes_last_and_has_seeds_of_its_own(monkeypatch):
  received = []

  def spy(image, seed, *, magnitude):
    received.append((image.numpy(), seed.numpy().tolist(), magnitude))
    return image + 1

  plain = _prepare()
  monkeypatch.setattr(rand_augment, "rand_augment", spy)
  np.testing.assert_array_equal(_prepare(magnitude=0.4), plain + 1)
  _prepare(position=4, magnitude=0.4)
  _prepare(seed=2, magnitude=0.4)
  (image, first, magnitude), *others = received
  np.testing.assert_array_equal(image, plain)
  assert magnitude == 0.4
  assert len({tuple(first), *(tuple(seed) for _, seed, _ in others)}) == 3
  shared = tf.random.fold_in(
      tf.constant([1, preparation._AUGMENTATION_STREAM], tf.int64),
      tf.constant(3, tf.int64),
  )
  assert first != shared.numpy().tolist()


def test_grey_images_are_not_rand_augmented():
  with pytest.raises(ValueError, match="3 channels. Received: 1, with rand"):
    image_data.TrainingPreparation(rand_augment=0.3).function((8, 8, 1), seed=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shift_flipp", "'shift_flipp'.*none, shift, .*mean shift_flip?"),
        ("zoom", "'zoom'.*none, shift, shift_flip"),
    ],
)
def test_unknown_augmentations_are_refused(name, message):
  with pytest.raises(ValueError, match=message):
    image_data.TrainingPreparation(augmentation=name)


def test_images_without_rand_augment_are_left_alone(monkeypatch):
  monkeypatch.setattr(rand_augment, "rand_augment", None)
  assert _prepare(name="none").shape == (8, 8, 3)


def _encoded(format_name, image=_IMAGE):
  encode = {"png": tf.io.encode_png, "jpeg": tf.io.encode_jpeg}[format_name]
  return encode(image).numpy()


def test_evaluation_resizes_or_cuts_out_the_middle():
  prepare = image_data.EvaluationPreparation((8, 6, 3))
  expected = tf.image.resize(
      tf.cast(_IMAGE, tf.float32), (8, 6), antialias=True
  )
  np.testing.assert_array_equal(prepare(_IMAGE), expected)
  prepare = image_data.EvaluationPreparation((8, 8, 3), center_crop=True)
  np.testing.assert_array_equal(
      prepare(_IMAGE), image_data.center_crop(_IMAGE, 8)
  )


@pytest.mark.parametrize("center_crop", [False, True])
@pytest.mark.parametrize("format_name", ["png", "jpeg"])
def test_files_are_prepared_as_their_pixels(format_name, center_crop):
  content = _encoded(format_name)
  pixels = tf.io.decode_image(content).numpy()
  prepare = image_data.EvaluationPreparation((8, 8, 3), center_crop)
  np.testing.assert_array_equal(prepare(content), prepare(pixels))
  traced = tf.function(prepare)(tf.constant(content))
  assert traced.shape == (8, 8, 3) and traced.dtype == tf.float32
  np.testing.assert_array_equal(traced, prepare(pixels))


def test_files_get_the_channels_of_the_network():
  grey = _IMAGE[..., :1]
  in_three = image_data.EvaluationPreparation((12, 10, 3))
  expected = np.repeat(grey, 3, axis=-1)
  np.testing.assert_array_equal(in_three(_encoded("png", grey)), expected)
  in_one = image_data.EvaluationPreparation((12, 10, 1))
  prepared = in_one(_encoded("png"))
  assert prepared.shape == (12, 10, 1)
  # The luma of ITU-R BT.601; libpng rounds down, in fixed point.
  luma = _IMAGE @ np.array([0.299, 0.587, 0.114])
  assert np.abs(prepared[..., 0] - luma).max() < 1.1


def test_images_of_the_right_size_keep_their_pixels():
  prepare = image_data.EvaluationPreparation((12, 10, 3))
  for source in (_IMAGE, _encoded("png")):
    kept = tf.function(prepare)(tf.constant(source))
    assert kept.dtype == tf.float32
    np.testing.assert_array_equal(kept, _IMAGE)


@dataclasses.dataclass
class _Stored:
  image_shape: tuple
  name: str = "stored"
  decoding_rules: image_data.DecodingRules = image_data.DecodingRules(
      exif_orientation=False
  )

  @property
  def has_equal_shapes(self):
    return None not in self.image_shape


@pytest.mark.parametrize(
    ("stored", "size", "expected"),
    [
        ((12, 10, 3), None, ((12, 10, 3), False)),
        ((12, 10, 3), 8, ((8, 8, 3), False)),
        ((None, None, 1), 8, ((8, 8, 1), True)),
    ],
)
def test_a_data_set_says_how_it_is_prepared(stored, size, expected):
  assert image_data.EvaluationPreparation.of_dataset(
      _Stored(stored), image_size=size
  ) == image_data.EvaluationPreparation(*expected, rules=_Stored.decoding_rules)


def test_sizes_that_are_not_known_are_refused():
  with pytest.raises(ValueError, match="stored differ in shape.*image_size"):
    image_data.EvaluationPreparation.of_dataset(
        _Stored((None, None, 3)), image_size=None
    )
  for shape, center_crop in (((None, 8, 3), False), ((8, 6, 3), True)):
    with pytest.raises(ValueError, match="Expected a known image_shape, squ"):
      image_data.EvaluationPreparation(shape, center_crop)


def test_images_that_are_not_square_are_not_cropped_without_a_size():
  with pytest.raises(ValueError, match="12 x 10 pixels.*Pass image_size"):
    _prepare(size=None, name="crop_flip")
