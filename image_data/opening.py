"""Opens data sets by name: those of TFDS, and folders of images."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import difflib
import io
import os
import re
from typing import NamedTuple

from absl import logging
import tensorflow as tf
import tensorflow_datasets as tfds

from image_data import cluttered_digits
from image_data import datasets
from image_data import decoding
from image_data import digits
from image_data import idx_files
from image_data import image_folder
from image_data import splitting

# What begins the name of a folder of images.
FOLDER_PREFIX = "image_folder:"

# Builders that need no download, and so are prepared on first use.
_OWN_BUILDERS = {
    "digits": digits.Digits,
    "cluttered_digits": cluttered_digits.ClutteredDigits,
}

# "name", "name/config", either with ":version".
_NAME_PATTERN = r"\w+(/[\w.\-]+)?(:[\d*.]+)?"

# TensorFlow takes a path with one of these for a pattern.
_PATTERN = "*?[\\"


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
    name: str,
    *,
    data_dir: str | os.PathLike,
    decoding_rules: decoding.DecodingRules | None = None,
    shares: splitting.SplitShares | None = None,
    idx_folder: str | os.PathLike | None = None,
) -> datasets.ImageDataset | image_folder.ImageFolder:
  """Opens a data set; never touches the network.

  "digits" and "cluttered_digits" are prepared in `data_dir` when they are not
  there yet, and so are MNIST and its like where their IDX files are. Two
  processes may do so at once, and one that is killed leaves no half-written
  data set behind.

  Args:
    name: "digits", "cluttered_digits", or the name of a TFDS data set of
      classified images; "name/config" and "name:version" as in TFDS. A data
      set stored by another program needs no code, its files suffice.
      "image_folder:PATH" is an `ImageFolder`.
    data_dir: TFDS's folder of prepared data sets.
    decoding_rules: of images; None for the defaults.
    shares: of an `ImageFolder`; None for its defaults.
    idx_folder: the IDX files of a data set that is not prepared yet, one of
      "mnist", "fashion_mnist", "kmnist" and "emnist/..."; None for where
      Debian's package `dataset-fashion-mnist` has put them.

  Returns:
    The data set, an `ImageDataset` or an `ImageFolder`.

  Raises:
    FileNotFoundError: if the data set is not prepared in `data_dir`, or there
      is no such folder.
    ValueError: if the name is unknown, or if it does not name classified
      images with a "train" split in TFRecord files, or if data_dir is a path
      that TensorFlow cannot read, or if an IDX file is damaged.
  """
  if name.startswith(FOLDER_PREFIX):
    idx_files.check_name(name, idx_folder)
    return image_folder.ImageFolder(
        name.removeprefix(FOLDER_PREFIX),
        decoding_rules=decoding_rules,
        shares=shares,
    )
  data_dir = os.path.expanduser(os.fspath(data_dir))
  builder = _find_builder(name, data_dir=data_dir)
  _check_classified_images(builder)
  idx_files.check_name(builder.name, idx_folder)
  idx_folder = idx_files.find(builder.name, idx_folder)
  with _silent_tfds():
    if not builder.is_prepared() and builder.name in _OWN_BUILDERS:
      own = _OWN_BUILDERS[builder.name]
      builder = _prepare(lambda: own(data_dir=data_dir))
    elif not builder.is_prepared() and idx_folder is not None:
      arrays = idx_files.read_all(builder, idx_folder)
      builder = _prepare(
          lambda: idx_files.builder_of(arrays, builder, data_dir=data_dir)
      )
    is_prepared = builder.is_prepared()
  if not is_prepared:
    raise FileNotFoundError(
        f"Data set {name!r} is not prepared in {data_dir!r}: there is no"
        f" {builder.data_dir!r}. Prepare it where there is network, with"
        f" `tfds build {name} --data_dir={data_dir}`, or give the data_dir"
        f" that holds it.{idx_files.advice(builder.name)}"
    )
  file_format = builder.info.file_format.value
  if file_format != "tfrecord":
    raise ValueError(
        f"{name!r} in {data_dir!r} is stored as {file_format!r} files."
        " Expected 'tfrecord', TFDS's default; prepare it again, in another"
        " data_dir, without --file_format."
    )
  return datasets.ImageDataset(builder, decoding_rules=decoding_rules)


def _find_builder(name: str, *, data_dir: str) -> tfds.core.DatasetBuilder:
  """Returns TFDS's builder, made from its code or else from its files."""
  if not set(_PATTERN).isdisjoint(data_dir):
    raise ValueError(
        "TensorFlow takes a path with one of * ? [ \\ for a pattern, so that "
        "data sets in it are not found. Rename the folder, or give a link to "
        f"it. Received: data_dir={data_dir!r}"
    )
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


@contextlib.contextmanager
def _silent_tfds() -> Iterator[None]:
  """Hides TFDS's bars and its words of a download that is none; no errors."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  hidden = io.StringIO()
  try:
    with contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
      yield
  finally:
    logging.set_verbosity(verbosity)


def _prepare(
    make_builder: Callable[[], tfds.core.DatasetBuilder],
) -> tfds.core.DatasetBuilder:
  """Writes a data set that needs no download.

  TFDS writes into a folder of its own and renames it when it is complete.
  """
  builder = make_builder()
  try:
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
  except OSError:
    # The rename fails when another process was faster; its data are the same.
    if not make_builder().is_prepared():
      raise
  return make_builder()
