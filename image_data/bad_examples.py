"""Examples that cannot be read: skipped, counted and named, up to a bound."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading

from absl import logging
import tensorflow as tf


class TooManyBadExamples(ValueError):
  """More examples than allowed cannot be read."""


class BadExamples:
  """Counts the examples that a program has skipped.

  Each is named in the log once, however often it is met.

  Args:
    limit: how many may be skipped.

  Attributes:
    limit: the same.
    names: of those that were met, in that order.
  """

  def __init__(self, limit: int = 100):
    if limit < 0:
      raise ValueError(f"Expected a limit of at least 0; got {limit!r}.")
    self.limit = limit
    self.names = []
    self._lock = threading.Lock()  # Batches are made by several threads.

  def add(self, name: str):
    """Counts an example, unless it was counted before.

    Args:
      name: where it is.

    Raises:
      TooManyBadExamples: if there are more than the limit.
    """
    with self._lock:
      if name not in self.names:
        self.names.append(name)
        logging.warning("Skipped, for it cannot be read: %s", name)
    self.check()

  def check(self):
    """Raises `TooManyBadExamples` if more than the limit were met."""
    if len(self.names) > self.limit:
      shown = "\n  ".join(self.names[:10])
      more = len(self.names) - 10
      raise TooManyBadExamples(
          f"More than {self.limit} examples cannot be read (no image that can "
          "be decoded, or a label out of range). Mend them, or allow more "
          f"(--max_bad_examples):\n  {shown}"
          + (f"\n  and {more} more" if more > 0 else "")
      )

  @contextlib.contextmanager
  def explained(self) -> Iterator[None]:
    """Says in plain words why reading within the `with` has failed.

    Raises:
      TooManyBadExamples: in place of TensorFlow's error.
      OSError: if a file of records is damaged.
    """
    try:
      yield
    except tf.errors.DataLossError as error:
      raise OSError(
          "A file of the data set is damaged; prepare the data set again: "
          f"{str(error).splitlines()[0]}"
      ) from error
    except tf.errors.OpError:
      self.check()
      raise

  def _add_all(self, names: tf.Tensor):
    """`add` within a graph; returns how many names there were, int64 []."""

    def add(array):
      for name in array.tolist():
        self.add(name.decode(errors="replace"))
      return len(array)

    return tf.numpy_function(add, [names], tf.int64)


def read_each(
    items: tf.data.Dataset,
    read: Callable[..., tuple[tf.Tensor, ...]],
    name: Callable[..., tf.Tensor],
) -> tf.data.Dataset:
  """Maps a data set; where that fails, zeros stand in, and a name.

  Args:
    items: a data set of tuples.
    read: function of the components of an item, to tensors of known shape.
    name: function of the same, to a string scalar.

  Returns:
    A data set of (name, *tensors), in the order of the items. The name is
    empty where all went well.
  """

  def read_one(*item):
    good = tf.data.Dataset.from_tensors(item).map(read)
    zeros = [tf.zeros(spec.shape, spec.dtype) for spec in good.element_spec]
    bad = tf.data.Dataset.from_tensors((name(*item), *zeros))
    good = good.map(lambda *tensors: ("", *tensors)).ignore_errors()
    return good.concatenate(bad).take(1)

  return items.interleave(
      read_one, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )


def drop(
    examples: tf.data.Dataset, bad_examples: BadExamples
) -> tf.data.Dataset:
  """Leaves out what could not be read.

  Args:
    examples: a data set of `read_each`.
    bad_examples: where they are counted.

  Returns:
    A data set without the names.
  """

  def keep(name, *_):
    # Its result is awaited: it may raise.
    count = tf.cond(
        name == "",
        lambda: tf.constant(0, tf.int64),
        lambda: bad_examples._add_all(name[None]),
    )
    return count == 0

  return examples.filter(keep).map(lambda _, *tensors: tensors)


def replace(
    batches: tf.data.Dataset, bad_examples: BadExamples
) -> tf.data.Dataset:
  """Puts the next good example of the batch into the place of a bad one.

  Batches keep their size, and which examples they are of: what comes later
  stays as it would be without the bad one.

  Args:
    batches: batches of `read_each`.
    bad_examples: where they are counted.

  Returns:
    A data set without the names.
  """

  def mend(names, *tensors):
    places = tf.where(names == "")[:, 0]
    with tf.control_dependencies(
        [
            bad_examples._add_all(tf.boolean_mask(names, names != "")),
            tf.debugging.assert_positive(
                tf.size(places), "No example of a batch can be read."
            ),
        ]
    ):
      own = tf.range(tf.size(names, tf.int64))
    following = tf.searchsorted(places, own) % tf.size(places)
    chosen = tf.gather(places, following)
    return tuple(tf.gather(tensor, chosen) for tensor in tensors)

  def mend_if_needed(names, *tensors):
    return tf.cond(
        tf.reduce_all(names == ""),
        lambda: tensors,
        lambda: mend(names, *tensors),
    )

  return batches.map(mend_if_needed, num_parallel_calls=tf.data.AUTOTUNE)
