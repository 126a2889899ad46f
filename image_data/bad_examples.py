"""Examples that cannot be read: skipped, counted and named, up to a bound."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading

from absl import logging
import tensorflow as tf

# Examples that are read together, one after the other. What can fail is a data
# set of its own, and TensorFlow builds its function anew for each, which takes
# as long as decoding. A batch of as many is not copied once more.
_CHUNK = 32


class TooManyBadExamples(ValueError):
  """More examples than allowed, or a whole batch, cannot be read."""


class BadExamples:
  """Counts the examples that a program has skipped.

  Each is named in the log once, however often it is met.

  Args:
    limit: how many may be skipped; None for any number.

  Attributes:
    names: of those that were met, in that order.
  """

  def __init__(self, limit: int | None = None):
    if limit is not None and limit < 0:
      raise ValueError(f"Expected a limit of at least 0; got {limit!r}.")
    self.names = []
    self._limit = limit
    self._lost_batch = None
    self._lock = threading.Lock()  # Batches are made by several threads.

  def add(self, name: str) -> None:
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

  def check(self) -> None:
    """Raises `TooManyBadExamples` if more than the limit were met.

    Also if a batch had no good example, which could take their places.
    """
    if self._limit is not None and len(self.names) > self._limit:
      raise TooManyBadExamples(
          f"More than {self._limit} examples cannot be read (no image that can "
          "be decoded, or a label out of range). Fix them, or allow more "
          f"(--max_bad_examples):{_list(self.names)}"
      )
    if self._lost_batch:
      raise TooManyBadExamples(
          f"Of a batch of {len(self._lost_batch)}, no example can be read. Are "
          f"the files still there?{_list(self._lost_batch)}"
      )

  @contextlib.contextmanager
  def explained(self) -> Iterator[None]:
    """Says in plain words why reading within the `with` has failed.

    Raises:
      TooManyBadExamples: in place of TensorFlow's error.
      OSError: if a file of records is damaged or gone.
    """
    try:
      yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
      # An image that is gone is a bad example; a file of many is not.
      raise OSError(
          "A file of the data set is damaged or gone; prepare the data set "
          f"again: {str(error).splitlines()[0]}"
      ) from error
    except tf.errors.OpError:
      self.check()
      raise

  def _add_all(self, names: tf.Tensor, *, of_batch: bool = False):
    """`add` within a graph; an empty name is of a good example.

    Args:
      names: string [examples].
      of_batch: whether one good example is needed.

    Returns:
      How many are bad, int64 [].
    """

    def add(array):
      bad = [name.decode(errors="replace") for name in array.tolist() if name]
      for name in bad:
        self.add(name)
      if of_batch and len(bad) == len(array):
        self._lost_batch = bad
        self.check()
      return len(bad)

    return tf.numpy_function(add, [names], tf.int64)


def _list(names):
  shown, more = names[:10], len(names) - 10
  lines = [*shown, *([f"and {more} more"] if more > 0 else [])]
  return "".join(f"\n  {line}" for line in lines)


def read_each(
    items: tf.data.Dataset,
    read: Callable[..., tuple[tf.Tensor, ...]],
    name: Callable[..., tf.Tensor],
    *,
    batch_size: int,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
  """Maps a data set; where that fails, zeros stand in, and a name.

  Examples come in batches, for to take them apart and to join them again costs
  a tenth of what decoding does.

  Args:
    items: a data set of tuples.
    read: function of the components of an item, to tensors of known shape.
    name: function of the same, to a string scalar.
    batch_size: of the batches.
    drop_remainder: whether a last batch of fewer is omitted.

  Returns:
    A data set of batches of (name, *tensors), in the order of the items. A name
    is empty where all went well.
  """

  # Traced once, though it stands in two graphs.
  @tf.function(autograph=False)
  def read_good(*item):
    return "", *read(*item)

  @tf.autograph.experimental.do_not_convert
  def read_one(*item):
    good = tf.data.Dataset.from_tensors(item).map(read_good)
    _, *specs = good.element_spec
    zeros = [tf.zeros(spec.shape, spec.dtype) for spec in specs]
    bad = tf.data.Dataset.from_tensors((name(*item), *zeros))
    return good.ignore_errors().concatenate(bad).take(1)

  @tf.autograph.experimental.do_not_convert
  def read_some(*parts):
    some = tf.data.Dataset.from_tensor_slices(parts)
    number = some.cardinality()
    # Less than all of them is dropped, and they are read one by one.
    good = some.map(read_good).batch(number, drop_remainder=True)
    each = some.flat_map(read_one).batch(number)
    first = good.ignore_errors().concatenate(each).take(1)
    return first.get_single_element()

  chunks = items.batch(min(batch_size, _CHUNK)).map(
      read_some, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )
  return chunks.rebatch(batch_size, drop_remainder=drop_remainder)


def drop(
    batches: tf.data.Dataset, bad_examples: BadExamples
) -> tf.data.Dataset:
  """Omits what could not be read.

  Args:
    batches: batches of `read_each`.
    bad_examples: where they are counted.

  Returns:
    A data set without the names, of batches that may be smaller.
  """

  def drop_bad(names, *tensors):
    is_good = names == ""
    with tf.control_dependencies([bad_examples._add_all(names)]):
      places = tf.where(is_good)[:, 0]
    return tuple(tf.gather(tensor, places) for tensor in tensors)

  return batches.map(_unless_all_good(drop_bad))


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

  def replace_bad(names, *tensors):
    places = tf.where(names == "")[:, 0]
    with tf.control_dependencies([bad_examples._add_all(names, of_batch=True)]):
      own = tf.range(tf.size(names, tf.int64))
    following = tf.searchsorted(places, own) % tf.size(places)
    chosen = tf.gather(places, following)
    return tuple(tf.gather(tensor, chosen) for tensor in tensors)

  return batches.map(
      _unless_all_good(replace_bad), num_parallel_calls=tf.data.AUTOTUNE
  )


def _unless_all_good(function):
  """`function` of names and tensors, or the tensors where no name is given."""

  def call(names, *tensors):
    return tf.cond(
        tf.reduce_all(names == ""),
        lambda: tensors,
        lambda: function(names, *tensors),
    )

  return call
