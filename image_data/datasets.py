"""Image-classification data sets by TFDS name, read from a local folder."""

import difflib
import os
import re
from typing import NamedTuple

from absl import logging
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from image_data import cluttered_digits
from image_data import digits
from image_data import image_folder
from image_data import splits

# What begins the name of a folder of images.
FOLDER_PREFIX = "image_folder:"

# Builders that need no download, and so are prepared on first use.
_OWN_BUILDERS = {
    "digits": digits.Digits,
    "cluttered_digits": cluttered_digits.ClutteredDigits,
}

# "name", "name/config", either with ":version".
_NAME_PATTERN = r"\w+(/[\w.\-]+)?(:[\d*.]+)?"

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

  def __init__(self, builder: tfds.core.DatasetBuilder):
    self._builder = builder
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
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    return examples.map(_image_and_label, num_parallel_calls=tf.data.AUTOTUNE)

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
    features = self._builder.info.features
    return _image_and_label(features.deserialize_example(record))

  def encoded(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads one record of a file without decoding its image.

    Args:
      record: a serialised example, string scalar.

    Returns:
      The bytes of the image, string scalar, and label, int32 scalar.
    """
    features = self._builder.info.features
    decoders = {"image": tfds.decode.SkipDecoding()}
    example = features.deserialize_example(record, decoders=decoders)
    return _image_and_label(example)

  def _spec(self, split: str) -> str:
    splits.check_split(split)
    return self._split_specs[split]


class DatasetFeatures(NamedTuple):
  """What is known of a data set before it is prepared.

  Attributes:
    num_classes: number of classes.
    image_shape: (height, width, channels); an entry is None where it differs
      from image to image.
  """

  num_classes: int
  image_shape: tuple[int | None, ...]


def dataset_features(
    name: str, *, data_dir: str | os.PathLike
) -> DatasetFeatures:
  """Says what a data set holds; it need not be prepared.

  Args:
    name: as of `open_dataset`.
    data_dir: TFDS's folder of prepared data sets.

  Returns:
    A `DatasetFeatures`.

  Raises:
    ValueError: if the name is unknown, or does not name classified images.
  """
  if name.startswith(FOLDER_PREFIX):
    folder = open_dataset(name, data_dir=data_dir)
    return DatasetFeatures(folder.num_classes, folder.image_shape)
  data_dir = os.path.expanduser(os.fspath(data_dir))
  builder = _find_builder(name, data_dir=data_dir)
  _check_classified_images(builder)
  features = builder.info.features
  return DatasetFeatures(
      features["label"].num_classes, tuple(features["image"].shape)
  )


def open_dataset(
    name: str, *, data_dir: str | os.PathLike
) -> ImageDataset | image_folder.ImageFolder:
  """Opens a data set; never touches the network.

  "digits" and "cluttered_digits" are prepared in `data_dir` when they are not
  there yet. Two processes may do so at once, and one that is killed leaves no
  half-written data set behind.

  Args:
    name: "digits", "cluttered_digits", or the name of a TFDS data set of
      classified images; "name/config" and "name:version" as in TFDS. A data
      set stored by another program needs no code, its files suffice.
      "image_folder:PATH" is an `ImageFolder`.
    data_dir: TFDS's folder of prepared data sets.

  Returns:
    The data set, an `ImageDataset` or an `ImageFolder`.

  Raises:
    FileNotFoundError: if the data set is not prepared in `data_dir`, or there
      is no such folder.
    ValueError: if the name is unknown, or if it does not name classified
      images with a "train" split in TFRecord files.
  """
  if name.startswith(FOLDER_PREFIX):
    return image_folder.ImageFolder(name.removeprefix(FOLDER_PREFIX))
  data_dir = os.path.expanduser(os.fspath(data_dir))
  builder = _find_builder(name, data_dir=data_dir)
  _check_classified_images(builder)
  if not builder.is_prepared() and builder.name in _OWN_BUILDERS:
    builder = _prepare(_OWN_BUILDERS[builder.name], data_dir=data_dir)
  if not builder.is_prepared():
    raise FileNotFoundError(
        f"Data set {name!r} is not prepared in {data_dir!r}: there is no"
        f" {builder.data_dir!r}. Prepare it where there is network, with"
        f" `tfds build {name} --data_dir={data_dir}`, or give the data_dir"
        " that holds it."
    )
  file_format = builder.info.file_format.value
  if file_format != "tfrecord":
    raise ValueError(
        f"{name!r} in {data_dir!r} is stored as {file_format!r} files."
        " Expected 'tfrecord', TFDS's default; prepare it again, in another"
        " data_dir, without --file_format."
    )
  return ImageDataset(builder)


def _check_labels(name, split, labels, num_classes):
  labels = np.asarray(labels)
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if wrong.size:
    raise ValueError(
        f"Of {split} of {name}, example {wrong[0]} has the label "
        f"{labels[wrong[0]]}. Expected 0 to {num_classes - 1}."
    )


def _find_builder(name: str, *, data_dir: str) -> tfds.core.DatasetBuilder:
  """Returns TFDS's builder, made from its code or else from its files."""
  # TFDS looks up "namespace:name" in a list in the cloud; refused here.
  if re.fullmatch(_NAME_PATTERN, name):
    try:
      return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
      pass  # TFDS's message is the list of its hundreds of data sets.
    except AssertionError as error:  # A version that is not there.
      raise ValueError(str(error)) from error
  known = tfds.list_builders(with_community_datasets=False)
  matches = difflib.get_close_matches(name, known)
  raise ValueError(
      f"Unknown data set {name!r}. Expected digits, cluttered_digits, a TFDS"
      f" name such as cifar10, or a data set stored in {data_dir!r}."
      + (f" Did you mean {' or '.join(matches)}?" if matches else "")
  )


def _check_classified_images(builder: tfds.core.DatasetBuilder):
  features = builder.info.features
  is_dict = isinstance(features, tfds.features.FeaturesDict)
  named = dict(features.items()) if is_dict else {}
  image, label = named.get("image"), named.get("label")
  if (
      not isinstance(image, tfds.features.Image)
      or not isinstance(label, tfds.features.ClassLabel)
      or image.tf_dtype != tf.uint8
  ):
    raise ValueError(
        f"{builder.name!r} is not a data set of classified images. Expected"
        " the features 'image' (Image, uint8) and 'label' (ClassLabel);"
        f" received image={image}, label={label}."
    )


def _prepare(
    builder_class: type[tfds.core.DatasetBuilder], *, data_dir: str
) -> tfds.core.DatasetBuilder:
  """Writes a data set that needs no download into `data_dir`.

  TFDS writes into a folder of its own and renames it when it is complete.
  """
  builder = builder_class(data_dir=data_dir)
  logging.info("Preparing %s in %s.", builder.name, builder.data_dir)
  try:
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
  except OSError:
    # The rename fails when another process was faster; its data are the same.
    if not builder_class(data_dir=data_dir).is_prepared():
      raise
  return builder_class(data_dir=data_dir)


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


def _image_and_label(example: dict) -> tuple[tf.Tensor, tf.Tensor]:
  return example["image"], tf.cast(example["label"], tf.int32)
