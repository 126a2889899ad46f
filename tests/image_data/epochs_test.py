"""Tests of `image_data.epochs`."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import datasets
from image_data import epochs
from image_data import readers
from tests.helpers import numbered_images
from tests.helpers.numbered_images import NUM_TRAIN

NUM_USED = 42  # Of an epoch: three of the 45 are left out.


@pytest.fixture(name="folder", scope="module")
def fixture_folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stored")
  numbered_images.store(folder, name="numbered", shapes=[(16, 8, 1)] * 50)
  return folder


@pytest.fixture(name="numbered", scope="module")
def fixture_numbered(folder):
  return image_data.open_dataset("numbered", data_dir=folder)


@pytest.fixture(name="streamed")
def fixture_streamed(numbered, monkeypatch):
  """A data set that is read from its files, as one too large for memory."""
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 0)
  monkeypatch.setattr(readers, "_SHUFFLE_WINDOW", 30)
  return numbered


@pytest.fixture(name="dataset", params=["in memory", "from files"])
def fixture_dataset(request, numbered):
  if request.param == "from files":
    return request.getfixturevalue("streamed")
  return numbered


SELDOM_FROM_FILES = pytest.mark.parametrize(
    "dataset",
    ["in memory", pytest.param("from files", marks=pytest.mark.slow)],
    indirect=True,
)


def _shuffled(dataset, *, used=NUM_USED, first=0, seed=1):
  reader = readers.open_reader(dataset, "train")
  items = epochs.shuffled_items(
      reader,
      num_examples=dataset.num_examples("train"),
      seed=seed,
      examples_per_epoch=used,
      first_example=first,
  )
  return items.map(lambda position, *item: (position, *reader.read(*item)))


def _take(dataset, num, **kwargs):
  """Positions, images and labels of the first examples."""
  batch = _shuffled(dataset, **kwargs).batch(num).take(1)
  return [array.numpy() for array in batch.get_single_element()]


def _orders(dataset, num_epochs, **kwargs):
  """The labels of whole epochs, in order."""
  _, _, labels = _take(
      dataset, num_epochs * NUM_TRAIN, used=NUM_TRAIN, **kwargs
  )
  return labels.reshape(num_epochs, NUM_TRAIN).tolist()


def _stored_labels(dataset):
  return [int(label) for _, label in dataset.examples("train")]


def test_elements_are_what_is_promised(dataset):
  position, image, label = _shuffled(dataset).element_spec
  assert (position.shape, position.dtype) == ((), tf.int64)
  assert (image.shape, image.dtype) == ((16, 8, 1), tf.uint8)
  assert (label.shape, label.dtype) == ((), tf.int32)


def test_epoch_holds_every_example_once_with_its_own_label(dataset):
  originals = {int(y): x.numpy() for x, y in dataset.examples("train")}
  _, images, labels = _take(dataset, 4 * NUM_TRAIN, used=NUM_TRAIN)
  for epoch in labels.reshape(4, NUM_TRAIN):
    assert sorted(epoch) == sorted(originals)
  for image, label in zip(images, labels, strict=True):
    np.testing.assert_array_equal(image, originals[label])


def test_position_counts_the_examples_that_are_left_out(dataset):
  positions, _, _ = _take(dataset, 3 * NUM_USED)
  assert positions.tolist() == [
      *range(0, 42),
      *range(45, 87),
      *range(90, 132),
  ]


@SELDOM_FROM_FILES
def test_what_is_left_out_ends_an_order_and_differs(dataset):
  _, _, labels = _take(dataset, 20 * NUM_USED)
  used = labels.reshape(20, NUM_USED)
  orders = _orders(dataset, 2)
  assert used[:2].tolist() == [order[:NUM_USED] for order in orders]
  # After 20 epochs everything was seen (the chance that some example was not
  # is 45 * (3/45)^20, about 1e-22).
  assert {*labels} == {*_stored_labels(dataset)}


@SELDOM_FROM_FILES
def test_order_differs_between_epochs_and_from_the_files(dataset):
  orders = [_stored_labels(dataset), *_orders(dataset, 4)]
  assert len({tuple(order) for order in orders}) == 5


@SELDOM_FROM_FILES
def test_order_depends_on_the_seed_alone(dataset):
  tf.random.set_seed(1)
  first = _orders(dataset, 2)
  tf.random.set_seed(2)
  assert _orders(dataset, 2) == first
  assert _orders(dataset, 1, seed=2)[0] != first[0]


@SELDOM_FROM_FILES
def test_seed_and_epoch_are_not_interchangeable(dataset):
  assert _orders(dataset, 2, seed=1)[1] != _orders(dataset, 1, seed=2)[0]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(1, marks=pytest.mark.slow),
        NUM_USED - 1,
        pytest.param(NUM_USED, marks=pytest.mark.slow),
        pytest.param(3 * NUM_USED + 5, marks=pytest.mark.slow),
    ],
)
def test_a_later_start_continues_the_sequence(dataset, first):
  whole = _take(dataset, first + 50)
  resumed = _take(dataset, 50, first=first)
  for a, b in zip(whole, resumed, strict=True):
    np.testing.assert_array_equal(a[first:], b)


@SELDOM_FROM_FILES
def test_positions_of_late_epochs_do_not_overflow(dataset):
  epoch = 10**8
  positions, _, labels = _take(
      dataset, NUM_USED - 2, first=epoch * NUM_USED + 2
  )
  start = epoch * NUM_TRAIN + 2
  assert positions.tolist() == [*range(start, start + NUM_USED - 2)]
  assert len({*labels}) == NUM_USED - 2


def test_permutations_of_epochs_are_uniform_and_independent():
  count, num_epochs = 600, 400
  permute = tf.function(
      lambda epoch: epochs._permutation(count, seed=3, epoch=epoch, stream=0)
  )
  places = np.stack([permute(tf.constant(e, tf.int64)) for e in range(400)])
  centred = (places - (count - 1) / 2) / np.sqrt((count**2 - 1) / 12)
  # Both have mean 0 and, but for 1/count, one standard error as scaled here.
  same_place = centred.mean(axis=0) * np.sqrt(num_epochs)
  assert np.abs(same_place).max() < 5
  successive = (centred[1:] * centred[:-1]).mean() * np.sqrt(399 * count)
  assert abs(successive) < 5


def test_files_and_examples_of_an_epoch_are_permuted_differently():
  streams = (readers._FILE_STREAM, readers._EXAMPLE_STREAM)
  files, examples = (
      epochs._permutation(100, seed=1, epoch=tf.constant(0), stream=stream)
      for stream in streams
  )
  # Of two random permutations, one place in a hundred agrees.
  assert np.sum(files == examples) < 10


def test_skipped_examples_are_not_decoded(streamed, monkeypatch):
  _, _, labels = _take(streamed, NUM_USED)
  skipped = tf.constant(labels[:28])
  decode = datasets.ImageDataset.decode

  def decode_if_not_skipped(self, record):
    image, label = decode(self, record)
    allowed = tf.debugging.Assert(tf.reduce_all(label != skipped), [label])
    with tf.control_dependencies([allowed]):
      return tf.identity(image), label

  monkeypatch.setattr(datasets.ImageDataset, "decode", decode_if_not_skipped)
  _, _, resumed = _take(streamed, NUM_USED - 28, first=28)
  np.testing.assert_array_equal(resumed, labels[28:])
  with pytest.raises(tf.errors.InvalidArgumentError):
    _take(streamed, 1, first=27)


def test_part_of_a_file_is_streamed_where_a_split_is_part_of_it(
    streamed, monkeypatch
):
  monkeypatch.setitem(streamed._split_specs, "train", "train[5:]")
  parts = [(f.skip, f.take) for f in streamed.file_instructions("train")]
  assert len(parts) > 1 and parts[0][0] == 5
  (order,) = _orders(streamed, 1)
  assert sorted(order) == sorted(_stored_labels(streamed))


def test_files_are_shuffled_too(streamed, monkeypatch):
  monkeypatch.setattr(readers, "_SHUFFLE_WINDOW", 1)
  # No file holds more than the 16 records that are read of one in a row.
  stored = iter(_stored_labels(streamed))
  files = [
      tuple(itertools.islice(stored, instruction.take))
      for instruction in streamed.file_instructions("train")
  ]
  assert len(files) == 4
  orders = set()
  for labels in _orders(streamed, 8):
    order = sorted(range(4), key=lambda i: labels.index(files[i][0]))
    assert labels == [label for i in order for label in files[i]]
    orders.add(tuple(order))
  # Of 24 orders; the chance of fewer than three in eight epochs is 1e-6.
  assert len(orders) >= 3
