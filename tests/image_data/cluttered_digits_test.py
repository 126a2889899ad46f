"""Tests of image_data/cluttered_digits.py."""

import numpy as np
import pytest

import image_data
from image_data import cluttered_digits
from image_data import digits

SPLITS = ("train", "validation", "test")


class FixedPlace:
  """A generator that always draws the same number in [0, 1)."""

  def __init__(self, value):
    self.value = value

  def random(self):
    return self.value


@pytest.fixture(name="dataset", scope="module")
def fixture_dataset(data_dir):
  return image_data.open_dataset("cluttered_digits", data_dir=data_dir)


@pytest.fixture(name="few_examples")
def fixture_few_examples(monkeypatch):
  monkeypatch.setattr(
      cluttered_digits.ClutteredDigits,
      "NUM_EXAMPLES",
      {"train": 30, "validation": 20, "test": 10},
  )


def generate(builder, split):
  return [example for _, example in builder._generate_examples(split)]


def test_splits_have_the_promised_size_and_shape(dataset):
  counts = {split: dataset.num_examples(split) for split in SPLITS}
  assert counts == {"train": 6000, "validation": 1000, "test": 2000}
  assert dataset.image_shape == (18, 18, 1)
  assert dataset.num_classes == 10


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_every_source_digit_is_drawn_about_equally_often(dataset, split):
  source_labels = digits.source_digits()[1]
  indices = digits.split_indices(source_labels)[split]
  expected = np.bincount(source_labels[indices]) / len(indices)
  labels = dataset.arrays(split)[1].numpy()
  # The last, incomplete pass over the source digits favours some of them.
  np.testing.assert_allclose(
      np.bincount(labels) / len(labels), expected, atol=0.02
  )


@pytest.mark.parametrize("split", SPLITS)
def test_digit_and_fragments_are_of_the_same_split(
    tmp_path, monkeypatch, few_examples, split
):
  _, labels = digits.source_digits()
  # Two pixels of every source digit tell which one it is.
  images = np.zeros((len(labels), 8, 8, 1), np.uint8)
  images[:, 0, 0, 0], images[:, 0, 1, 0] = divmod(np.arange(len(labels)), 256)
  monkeypatch.setattr(digits, "source_digits", lambda: (images, labels))
  received = []

  def record(image, others, *, size, generator):
    del generator
    number = image[0, 0] * 256.0 + image[0, 1]
    received.append((number, others[:, 0, 0] * 256.0 + others[:, 0, 1]))
    return np.zeros((size, size, 1), np.uint8)

  monkeypatch.setattr(cluttered_digits, "render", record)
  generate(cluttered_digits.ClutteredDigits(data_dir=tmp_path), split)
  expected = set(digits.split_indices(labels)[split].tolist())
  assert received
  for number, others in received:
    assert {number, *others} == expected
    assert number not in others


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("scale", [1.0, 1.37, 2.0])
def test_paste_is_bilinear_interpolation(place, scale):
  patch = np.random.default_rng(0).uniform(0, 255, (8, 5))
  pasted = cluttered_digits._paste(
      np.zeros((18, 18)), patch, scale=scale, generator=FixedPlace(place)
  )
  expected = np.pad(patch, 1)  # Outside the patch it is dark.
  for axis, side in enumerate(patch.shape):
    centres = np.arange(18) + 0.5 - place * (18 - side * scale)
    expected = np.apply_along_axis(
        lambda line, side=side, centres=centres: np.interp(
            centres / scale - 0.5, np.arange(-1, side + 1), line
        ),
        axis,
        expected,
    )
  np.testing.assert_allclose(pasted, expected, atol=1e-9)


def test_paste_keeps_what_is_brighter():
  canvas = np.full((18, 18), 100.0)
  patch = np.full((8, 8), 60.0)
  patch[4, 4] = 200.0
  pasted = cluttered_digits._paste(
      canvas, patch, scale=1.0, generator=FixedPlace(0.5)
  )
  assert pasted.min() == 100.0
  assert pasted.max() == 200.0


def test_without_clutter_and_noise_the_digit_alone_is_drawn(monkeypatch):
  monkeypatch.setattr(cluttered_digits, "_NUM_FRAGMENTS", 0)
  monkeypatch.setattr(cluttered_digits, "_NOISE_STDDEV", 0.0)
  monkeypatch.setattr(cluttered_digits, "_DIGIT_CONTRASTS", (1.0, 1.0))
  image = np.zeros((8, 8), np.uint8)
  image[1:7, 1:7] = 160
  for seed in range(20):
    rendered = cluttered_digits.render(
        image,
        np.full((1, 8, 8), 255, np.uint8),
        size=18,
        generator=np.random.default_rng(seed),
    ).astype(float)
    # Enlarged by s, the 36 bright pixels cover 36 s^2; the digit is uncut, for
    # a margin of one dark pixel keeps the interpolation inside the canvas.
    scale = np.sqrt(rendered.sum() / (36 * 160))
    assert 1.05 < scale < 1.65
    assert rendered.max() == 160


def test_noise_has_the_stated_deviation(monkeypatch):
  monkeypatch.setattr(cluttered_digits, "_NUM_FRAGMENTS", 0)
  image = np.full((8, 8), 128, np.uint8)
  monkeypatch.setattr(cluttered_digits, "_DIGIT_CONTRASTS", (1.0, 1.0))
  monkeypatch.setattr(cluttered_digits, "_SCALES", (2.25, 2.25))
  pixels = np.stack(
      [
          cluttered_digits.render(
              image,
              image[np.newaxis],
              size=18,
              generator=np.random.default_rng(seed),
          )[2:-2, 2:-2]
          for seed in range(100)
      ]
  )
  expected = np.sqrt(cluttered_digits._NOISE_STDDEV**2 + 1 / 12)
  # Five standard errors of a standard deviation of that many normal numbers.
  tolerance = 5 * expected / np.sqrt(2 * pixels.size)
  assert abs(pixels.std() - expected) < tolerance


def test_renderings_of_one_source_digit_differ(dataset):
  builder = cluttered_digits.ClutteredDigits(data_dir="unused")
  examples = builder._generate_examples("validation")
  examples = [example for _, example in examples][:301]
  assert examples[0]["label"] == examples[300]["label"]
  assert np.mean(examples[0]["image"] != examples[300]["image"]) > 0.5


def test_splits_are_rendered_with_different_random_numbers(
    tmp_path, monkeypatch, few_examples
):
  states = {}

  def record(image, others, *, size, generator):
    del image, others
    states.setdefault(split, []).append(generator.integers(2**62))
    return np.zeros((size, size, 1), np.uint8)

  monkeypatch.setattr(cluttered_digits, "render", record)
  builder = cluttered_digits.ClutteredDigits(data_dir=tmp_path)
  for split in SPLITS:
    generate(builder, split)
  together = sum(states.values(), [])
  assert len(set(together)) == len(together) == 60


@pytest.mark.slow
def test_preparing_twice_writes_the_same_examples_in_the_same_order(
    tmp_path, few_examples
):
  arrays = []
  for folder in ("first", "second"):
    dataset = image_data.open_dataset(
        "cluttered_digits", data_dir=tmp_path / folder
    )
    arrays.append([dataset.arrays(split) for split in SPLITS])
  for first, second in zip(*arrays, strict=True):
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_builder_is_documented(tmp_path):
  builder = cluttered_digits.ClutteredDigits(data_dir=tmp_path)
  assert builder.name == "cluttered_digits"
  assert str(builder.version) in builder.RELEASE_NOTES
  assert builder.info.supervised_keys == ("image", "label")
