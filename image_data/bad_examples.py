"""Examples that cannot be read: skipped, counted and named, up to a bound."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading

from absl import logging
import tensorflow as tf

# Examples that are read together. What can fail is a data set of its own, and
# TensorFlow builds its function anew for each, which takes as long as decoding.
_CHUNK = 16


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

  chunks = items.batch(_CHUNK)
  read_chunks = chunks.map(
      read_some, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )
  return read_chunks.unbatch()


def drop(
    examples: tf.data.Dataset, bad_examples: BadExamples
) -> tf.data.Dataset:
  """Omits what could not be read.

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

  def replace_bad(names, *tensors):
    places = tf.where(names == "")[:, 0]
    with tf.control_dependencies([bad_examples._add_all(names, of_batch=True)]):
      own = tf.range(tf.size(names, tf.int64))
    following = tf.searchsorted(places, own) % tf.size(places)
    chosen = tf.gather(places, following)
    return tuple(tf.gather(tensor, chosen) for tensor in tensors)

  def replace_if_needed(names, *tensors):
    return tf.cond(
        tf.reduce_all(names == ""),
        lambda: tensors,
        lambda: replace_bad(names, *tensors),
    )

  return batches.map(replace_if_needed, num_parallel_calls=tf.data.AUTOTUNE)
