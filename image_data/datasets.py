"""An image-classification data set of TFDS, with three splits."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from image_data import decoding
from image_data import splits

# A split whose decoded images are larger is streamed from its files.
_MEMORY_LIMIT_BYTES = 2**29


class ImageDataset:
  """A prepared TFDS image-classification data set with three splits.

  "train", "validation" and "test" are the splits of that name where TFDS has
  all three. What is missing is carved out of TFDS's "train", and "train" is
  what remains of it:

  - no "validation": the last 10 % of "train";
  - no "test": TFDS's "validation", and "validation" the last 2 % of "train";
  - neither: the last 10 % of "train" is "test", the 10 % before "validation".

  A "test" without labels (label -1, as in imagenet2012) counts as missing.
  Carving assumes that TFDS shuffled the examples when it wrote them, which it
  does unless the data set's builder disables it.

  Args:
    builder: a prepared `tfds.core.DatasetBuilder` with the features "image"
      (uint8) and "label".
    decoding_rules: of images.

  Attributes:
    name: TFDS name, with the config if there is one ("name/config").
    version: version of the prepared data, such as "3.0.2".
    num_classes: number of classes.
    class_names: the names of the classes, in the order of the labels.
    image_shape: (height, width, channels); an entry is None where it differs
      from image to image.

  Raises:
    ValueError: if there is no "train" split.
  """

  def __init__(
      self,
      builder: tfds.core.DatasetBuilder,
      *,
      decoding_rules: decoding.DecodingRules | None = None,
  ):
    self._builder = builder
    self.decoding_rules = decoding_rules or decoding.DecodingRules()
    self._split_specs = _split_specs(builder)
    self._arrays = {}
    config = builder.builder_config
    self.name = f"{builder.name}/{config.name}" if config else builder.name
    self.version = str(builder.version)
    self.num_classes = builder.info.features["label"].num_classes
    self.class_names = list(builder.info.features["label"].names)
    self.image_shape = tuple(builder.info.features["image"].shape)

  @property
  def has_equal_shapes(self) -> bool:
    """Whether all images are of one size."""
    return None not in self.image_shape

  def num_examples(self, split: str) -> int:
    """Returns the number of examples of "train", "validation" or "test"."""
    return self._builder.info.splits[self._spec(split)].num_examples

  def fits_in_memory(self, split: str) -> bool:
    """Returns whether `arrays` may be called: equal shapes, and not too big."""
    if not self.has_equal_shapes:
      return False
    size = tf.TensorShape(self.image_shape).num_elements()
    return self.num_examples(split) * size <= _MEMORY_LIMIT_BYTES

  def arrays(self, split: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a whole split, once, and keeps it in memory.

    Args:
      split: "train", "validation" or "test".

    Returns:
      Images, uint8 [examples, height, width, channels], and labels, int32
      [examples], in the order of `examples`.

    Raises:
      ValueError: if an image cannot be decoded, or a label is out of range.
    """
    if split not in self._arrays:
      # Never on a GPU: tf.data reads the arrays on the host.
      with tf.device("CPU:0"):
        batches = self.examples(split).batch(self.num_examples(split))
        images, labels = self._single_element(batches, split)
      _check_labels(self.name, split, labels.numpy(), self.num_classes)
      self._arrays[split] = images, labels
    return self._arrays[split]

  def _single_element(self, batches, split):
    try:
      return batches.get_single_element()
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
      raise ValueError(
          f"An example of {split} of {self.name} cannot be read; prepare the "
          f"data set again: {str(error).splitlines()[0]}"
      ) from error

  def examples(self, split: str) -> tf.data.Dataset:
    """Reads a split from its files, in an order that is always the same.

    Args:
      split: "train", "validation" or "test".

    Returns:
      A finite data set of (image, uint8 [height, width, channels]; label,
      int32 scalar).
    """
    examples = self._builder.as_dataset(
        split=self._spec(split),
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    return examples.map(self._decoded, num_parallel_calls=tf.data.AUTOTUNE)

  def file_instructions(self, split: str) -> list:
    """Returns what to read of which TFRecord files for a split.

    Args:
      split: "train", "validation" or "test".

    Returns:
      TFDS's file instructions, with `filename`, `skip` and `take`.
    """
    return self._builder.info.splits[self._spec(split)].file_instructions

  def decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes one record of a file.

    Args:
      record: a serialised example, string scalar.

    Returns:
      Image, uint8 [height, width, channels], and label, int32 scalar.
    """
    return self._decoded(self._example(record))

  def encoded(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads one record of a file without decoding its image.

    Args:
      record: a serialised example, string scalar.

    Returns:
      The bytes of the image, string scalar, and label, int32 scalar.
    """
    example = self._example(record)
    return example["image"], _label_of(example)

  def _example(self, record):
    # Not decoded by TFDS: an image is decoded the same way wherever it lies.
    decoders = {"image": tfds.decode.SkipDecoding()}
    features = self._builder.info.features
    return features.deserialize_example(record, decoders=decoders)

  @tf.autograph.experimental.do_not_convert
  def _decoded(self, example):
    decode = decoding.traced(self.image_shape[-1], self.decoding_rules)
    image = decode(example["image"])
    image.set_shape(self.image_shape)
    return image, _label_of(example)

  def _spec(self, split: str) -> str:
    splits.check_split(split)
    return self._split_specs[split]


def _check_labels(name, split, labels, num_classes):
  labels = np.asarray(labels)
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if wrong.size:
    raise ValueError(
        f"Of {split} of {name}, example {wrong[0]} has the label "
        f"{labels[wrong[0]]}. Expected 0 to {num_classes - 1}."
    )


def _split_specs(builder: tfds.core.DatasetBuilder) -> dict[str, str]:
  """Returns TFDS's expression of each split; see `ImageDataset`."""
  names = set(builder.info.splits)
  if "train" not in names:
    raise ValueError(
        f"{builder.name!r} in {builder.data_dir!r} has no 'train' split."
        f" Received the splits {sorted(names)}; expected 'train', and"
        " 'validation' or 'test' if there are such."
    )
  if "test" in names and not _is_labelled(builder, "test"):
    names.remove("test")
  if {"validation", "test"} <= names:
    specs = ("train", "validation", "test")
  elif "test" in names:
    specs = ("train[:90%]", "train[90%:]", "test")
  elif "validation" in names:
    specs = ("train[:98%]", "train[98%:]", "validation")
  else:
    specs = ("train[:80%]", "train[80%:90%]", "train[90%:]")
  return dict(zip(splits.SPLITS, specs, strict=True))


def _is_labelled(builder: tfds.core.DatasetBuilder, split: str) -> bool:
  examples = builder.as_dataset(
      split=split,
      decoders={"image": tfds.decode.SkipDecoding()},
      read_config=tfds.ReadConfig(try_autocache=False),
  )
  return all(example["label"] >= 0 for example in examples.take(1))


def _label_of(example):
  return tf.cast(example["label"], tf.int32)
