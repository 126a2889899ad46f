"""Tests of `pgates.inference.collection`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pgates.inference import collection


def _model():
  x = keras.Input((3,))
  return keras.Model(x, {"sum": keras.ops.sum(x, axis=-1), "same": x})


def _data(size, batch, *, labels=True):
  images = np.arange(3 * size, dtype=np.float32).reshape(size, 3)
  tensors = (images, np.arange(size)) if labels else (images,)
  return images, tf.data.Dataset.from_tensor_slices(tensors).batch(batch)


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_outputs_of_all_batches_are_joined_in_order(batch):
  images, data = _data(7, batch)

  def per_example(outputs, labels):
    return {"both": outputs["sum"] + 100 * labels, "rows": outputs["same"]}

  found = collection.collect(_model(), data, per_example)
  assert found.keys() == {"both", "rows"}
  np.testing.assert_array_equal(
      found["both"], images.sum(axis=1) + 100 * np.arange(7)
  )
  np.testing.assert_array_equal(found["rows"], images)


class _Counting(keras.layers.Layer):
  """Counts how often it is called in Python."""

  count = 0

  def call(self, inputs):
    self.count += 1
    return inputs + 1


@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_network_is_traced_once_whatever_the_sizes_of_batches(batch_size):
  layer = _Counting()
  x = keras.Input((3,), batch_size=batch_size)
  collector = collection.Collector(keras.Model(x, {"more": layer(x)}))
  layer.count = 0
  # Of 3, 3 and 1 examples, where the network takes any number.
  images, data = _data(7 if batch_size is None else 6, 3)
  for _ in range(2):
    found = collector.collect(data, lambda outputs, labels: outputs)
    np.testing.assert_array_equal(found["more"], images + 1)
  assert layer.count == 1


def test_inputs_may_be_changed_and_labels_absent():
  images, data = _data(5, 2, labels=False)

  def per_example(outputs, labels):
    assert labels is None
    return {"sum": outputs["sum"]}

  found = collection.Collector(_model()).collect(
      data, per_example, inputs=lambda images: 2 * images
  )
  np.testing.assert_array_equal(found["sum"], 2 * images.sum(axis=1))


def test_training_is_off():
  x = keras.Input((3,))
  model = keras.Model(x, {"out": keras.layers.Dropout(0.9)(x)})
  images, data = _data(4, 4)
  found = collection.collect(model, data, lambda outputs, labels: outputs)
  np.testing.assert_array_equal(found["out"], images)


def test_no_example_is_an_error():
  _, data = _data(4, 4)
  with pytest.raises(ValueError, match="no example that can be read"):
    collection.collect(_model(), data.take(0), lambda outputs, labels: outputs)


def test_data_without_an_end_is_refused():
  _, data = _data(5, 2)
  for endless in (data.repeat(), data.repeat().map(lambda x, y: (x, y))):
    with pytest.raises(ValueError, match=r"never ends.*`dataset.take\(n\)`"):
      collection.collect(_model(), endless, lambda outputs, labels: outputs)
  found = collection.collect(
      _model(), data.repeat().take(4), lambda outputs, labels: outputs
  )
  assert len(found["sum"]) == 5 + 2


def test_several_inputs_take_one_reading():
  images, data = _data(5, 2)
  read = []

  def counted(*batch):
    tf.py_function(read.append, [1], [])
    return batch

  found = collection.Collector(_model()).collect_each(
      data.map(counted),
      lambda outputs, labels: {"sum": outputs["sum"] + 100 * labels},
      inputs=[lambda images: images, lambda images: 3 * images],
  )
  assert len(read) == 3
  for factor, each in zip((1, 3), found, strict=True):
    expected = factor * images.sum(axis=1) + 100 * np.arange(5)
    np.testing.assert_array_equal(each["sum"], expected)
