"""Stored images some of which cannot be decoded, for tests of reading."""

import io
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

_COUNT = 40
_CLASSES = ("ant", "bee", "cat")
# Cut off within its header, cut off within its pixels, something else, empty.
_DAMAGES = {
    3: lambda content: content[:15],
    17: lambda content: content[: len(content) // 2],
    18: lambda content: b"not an image",
    39: lambda content: b"",
}


def _jpeg(i):
  rng = np.random.default_rng(i)
  pixels = rng.integers(1, 256, (20 + i % 3, 24, 3), np.uint8)
  content = tf.io.encode_jpeg(pixels).numpy()
  return _DAMAGES[i](content) if i in _DAMAGES else content


def store_folder(path):
  """Writes `SPLIT/CLASS/NUMBER.jpg`; returns paths of train's bad images."""
  for split in ("train", "val", "test"):
    for i in range(_COUNT):
      file = pathlib.Path(path) / split / _CLASSES[i % 3] / f"{i:02}.jpg"
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(_jpeg(i))
  return [f"{path}/train/{_CLASSES[i % 3]}/{i:02}.jpg" for i in _DAMAGES]


def store_records(data_dir):
  """Writes the TFDS data set "damaged"; returns the names of bad records."""
  good = range(4, 8)
  splits = {"train": range(_COUNT), "validation": good, "test": good}
  tfds.dataset_builders.store_as_tfds_dataset(
      name="damaged",
      version="1.0.0",
      features=tfds.features.FeaturesDict(
          {
              "image": tfds.features.Image(encoding_format="jpeg"),
              "label": tfds.features.ClassLabel(names=_CLASSES),
          }
      ),
      split_datasets={
          split: [
              (i, {"image": io.BytesIO(_jpeg(i)), "label": i % 3})
              for i in numbers
          ]
          for split, numbers in splits.items()
      },
      data_dir=data_dir,
      download_config=tfds.download.DownloadConfig(num_shards=4),
  )
  damaged = [_jpeg(i) for i in _DAMAGES]
  bad = []
  for path in sorted(pathlib.Path(data_dir).rglob("damaged-train*")):
    for place, record in enumerate(tf.data.TFRecordDataset(str(path))):
      example = tf.train.Example.FromString(record.numpy())
      if example.features.feature["image"].bytes_list.value[0] in damaged:
        bad.append(f"{path}, record {place}")
  return bad
