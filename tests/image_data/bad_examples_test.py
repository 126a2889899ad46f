"""Tests of `image_data.bad_examples`."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from image_data import bad_examples
from tests.helpers import parameters


def _read_each(count, bad, batch_size=4):
  """Numbers from 0; `bad` of them cannot be read."""

  def read(number):
    is_good = tf.reduce_all(number != tf.constant(sorted(bad), tf.int64))
    with tf.control_dependencies([tf.debugging.Assert(is_good, [number])]):
      return tf.fill([2, 3], tf.cast(number, tf.float32)), number + 1

  items = tf.data.Dataset.from_tensor_slices((tf.range(count, dtype=tf.int64),))
  return bad_examples.read_each(
      items,
      read,
      lambda number: "number " + tf.strings.as_string(number),
      batch_size=batch_size,
  )


@pytest.mark.parametrize(
    "batch_size", parameters.slow_but([7, 50], [1, 7, 32, 33, 50])
)
def test_what_cannot_be_read_is_named_in_its_place(batch_size):
  batches = _read_each(40, {0, 7, 8, 39}, batch_size)
  sizes = [len(names) for names, *_ in batches]
  assert sum(sizes) == 40 and {*sizes[:-1]} <= {batch_size}
  read = list(batches.unbatch().as_numpy_iterator())
  names = [name.decode() for name, _, _ in read]
  expected = [f"number {i}" if i in {0, 7, 8, 39} else "" for i in range(40)]
  assert names == expected
  for i, (name, image, label) in enumerate(read):
    value = 0 if name else i
    np.testing.assert_array_equal(image, np.full((2, 3), value, np.float32))
    assert label == (0 if name else i + 1)


def test_bad_examples_are_left_out_and_counted():
  counted = bad_examples.BadExamples(3)
  examples = bad_examples.drop(_read_each(12, {3, 4, 11}), counted)
  for _ in range(2):  # The second time they are old acquaintances.
    labels = [int(label) for _, batch in examples for label in batch]
    assert labels == [1, 2, 3, 6, 7, 8, 9, 10, 11]
    assert counted.names == ["number 3", "number 4", "number 11"]


def test_next_good_example_of_the_batch_takes_the_place():
  bad = {1, 2, 7, 8, 9, 11}
  counted = bad_examples.BadExamples(6)
  batches = bad_examples.replace(_read_each(12, bad), counted)
  images, labels = zip(*batches.as_numpy_iterator(), strict=True)
  expected = [[0, 3, 3, 3], [4, 5, 6, 4], [10, 10, 10, 10]]
  np.testing.assert_array_equal(np.stack(labels) - 1, expected)
  np.testing.assert_array_equal(np.stack(images)[..., 1, 2], expected)
  # Batches are made in parallel.
  assert set(counted.names) == {f"number {i}" for i in bad}


def test_batch_without_any_good_example_is_an_error():
  counted = bad_examples.BadExamples()
  batches = bad_examples.replace(_read_each(8, {4, 5, 6, 7}), counted)
  with (
      pytest.raises(
          bad_examples.TooManyBadExamples,
          match=r"Of a batch of 4, no .*\n  number 4[\s\S]*number 7",
      ),
      counted.explained(),
  ):
    list(batches)


def test_other_errors_stay_as_they_are():
  with pytest.raises(tf.errors.OutOfRangeError, match="the end"):
    with bad_examples.BadExamples().explained():
      raise tf.errors.OutOfRangeError(None, None, "the end")


def test_damaged_file_of_records_is_said_to_be_one(tmp_path):
  path = tmp_path / "records"
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(b"a record" * 100)
  path.write_bytes(path.read_bytes()[:-9])
  for damage in (lambda: None, path.unlink):
    damage()
    with pytest.raises(OSError, match="damaged or gone; prepare the data set"):
      with bad_examples.BadExamples().explained():
        list(tf.data.TFRecordDataset(str(path)))


@pytest.mark.parametrize("finish", ["drop", "replace"])
def test_more_than_the_limit_stop_the_program(finish):
  counted = bad_examples.BadExamples(2)
  examples = _read_each(12, {1, 5, 9})
  if finish == "replace":
    examples = bad_examples.replace(examples, counted)
  else:
    examples = bad_examples.drop(examples, counted)
  with pytest.raises(tf.errors.OpError, match="More than 2 examples"):
    list(examples)
  with pytest.raises(bad_examples.TooManyBadExamples, match="number 5"):
    counted.check()


def test_any_number_is_skipped_without_a_limit():
  counted = bad_examples.BadExamples()
  bad = set(range(150)) - {70}
  good = bad_examples.drop(_read_each(150, bad), counted)
  assert [int(label) for _, label in good.unbatch()] == [71]
  assert len(counted.names) == 149
  counted.check()


def test_message_counts_what_it_does_not_show():
  counted = bad_examples.BadExamples(11)
  for i in range(11):
    counted.add(f"a{i}")
  with pytest.raises(
      bad_examples.TooManyBadExamples,
      match=r"More than 11 .*--max_bad_examples[\s\S]*a9\n  and 2 more",
  ):
    counted.add("a11")


def test_each_is_named_in_the_log_once(caplog):
  counted = bad_examples.BadExamples()
  with caplog.at_level(logging.WARNING, logger="absl"):
    for name in ("a.jpg", "b.jpg", "a.jpg"):
      counted.add(name)
  lines = [record.getMessage() for record in caplog.records]
  assert [line.rpartition(" ")[2] for line in lines] == ["a.jpg", "b.jpg"]
  assert counted.names == ["a.jpg", "b.jpg"]


def test_negative_limit_is_refused():
  with pytest.raises(ValueError, match="at least 0; got -1"):
    bad_examples.BadExamples(-1)
