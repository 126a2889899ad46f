"""How many images a second the input pipeline delivers.

    python -m benchmarks.input_pipeline \
        benchmarks/results/input_pipeline.json

JPEG files of ImageNet's typical size are made and stored by TFDS. The limit is
a plain `tf.data` pipeline over the same files, which decodes and resizes (as
training does, without the antialiasing of evaluation), in order and without
anything else. Candidates take turns in one process, and only that whose turn it
is works: its threads are started, and its buffers filled and read, before the
clock is.
"""

import functools
import itertools
import os
import pathlib
import tempfile

from absl import app
from absl import logging
import tensorflow as tf

from benchmarks import environment
from benchmarks import jpeg_records
from export.timing import interleaved
from file_io import artifacts
import image_data

_SIZE, _BATCH = 224, 32
_NUM_IMAGES, _EPOCHS, _REPEATS = 512, 2, 7
# Of a turn, before its time. More than the pipelines hold ready.
_NUM_STARTING = 16


def plain_batches(dataset, *, batch_size, image_size):
  """Decodes whole images and resizes them, in the order of the files.

  Args:
    dataset: an `image_data.ImageDataset` of JPEG files.
    batch_size: of a batch.
    image_size: side in pixels.

  Returns:
    An endless data set of (images, labels).
  """
  files = [str(file.filename) for file in dataset.file_instructions("train")]

  def prepare(record):
    content, label = dataset.encoded(record)
    image = tf.io.decode_jpeg(content, channels=3)
    return tf.image.resize(image, (image_size, image_size)), label

  records = tf.data.TFRecordDataset(
      files, num_parallel_reads=tf.data.AUTOTUNE
  ).repeat()
  images = records.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
  batches = images.batch(batch_size, drop_remainder=True)
  return batches.prefetch(tf.data.AUTOTUNE)


class Reader:
  """Reads a pipeline that runs in turns of its own alone.

  One that went on meanwhile would take its batches from the time of others.

  Args:
    batches: a data set that does not end.
    num_batches: to read in a turn.
    num_starting: to read before it.
  """

  def __init__(self, batches, *, num_batches, num_starting):
    self._batches = batches
    self._num_batches = num_batches
    self._num_starting = num_starting
    self._iterator = None

  def __enter__(self):
    self._iterator = iter(self._batches)
    self._read(self._num_starting)
    return self

  def __exit__(self, *error):
    self._iterator = None  # Ends its threads.

  def __call__(self):
    """Reads the batches of a turn; returns how many there were."""
    return self._read(self._num_batches)

  def _read(self, num_batches):
    return sum(1 for _ in itertools.islice(self._iterator, num_batches))


def measure(
    dataset, *, as_stored, batch_size, image_size, num_batches, repeats
):
  """Times our pipelines beside the plain one.

  Args:
    dataset: an `image_data.ImageDataset` of JPEG files.
    as_stored: the same, but that orientations in EXIF are not looked for.
    batch_size: of a batch.
    image_size: side in pixels.
    num_batches: of one turn.
    repeats: turns that count.

  Returns:
    A dict for JSON: name -> times of a turn, and `images_per_second`.
  """
  sizes = {"batch_size": batch_size, "image_size": image_size}
  preparation = image_data.TrainingPreparation(
      image_size=image_size, augmentation="crop_flip"
  )

  def train_batches(dataset):
    return image_data.train_batches(
        dataset, batch_size=batch_size, seed=0, preparation=preparation
    )

  batches = {
      "plain": plain_batches(dataset, **sizes),
      "train": train_batches(dataset),
      "train_without_exif": train_batches(as_stored),
      "evaluate": image_data.eval_batches(dataset, "train", **sizes).repeat(),
  }

  # Training starts a pipeline once in a hundred epochs: that is no part of it.
  calls = {
      name: Reader(of_one, num_batches=num_batches, num_starting=_NUM_STARTING)
      for name, of_one in batches.items()
  }
  times = interleaved.measure(calls, repeats=repeats, warmup=1)
  result = interleaved.summary(times, "plain")
  for row in result.values():
    row["images_per_second"] = (
        1000 * batch_size * num_batches / row["median_ms"]
    )
  return result


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the JSON to write.")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  with tempfile.TemporaryDirectory() as folder:
    print(f"Making {_NUM_IMAGES} images ...", flush=True)
    jpeg_records.store(folder, num_images=_NUM_IMAGES)
    size = sum(p.stat().st_size for p in pathlib.Path(folder).rglob("*train*"))
    open_dataset = functools.partial(
        image_data.open_dataset, "made_photographs", data_dir=folder
    )
    result = measure(
        open_dataset(),
        as_stored=open_dataset(
            decoding_rules=image_data.DecodingRules(exif_orientation=False)
        ),
        batch_size=_BATCH,
        image_size=_SIZE,
        num_batches=_EPOCHS * _NUM_IMAGES // _BATCH,
        repeats=_REPEATS,
    )
  cores = len(os.sched_getaffinity(0))
  for name, row in result.items():
    row["images_per_second_and_core"] = row["images_per_second"] / cores
    print(
        f"{name:<20}{row['images_per_second']:>8.0f} images/s"
        f"{row['images_per_second_and_core']:>8.0f} a core"
        f"{1 / row['ratio']:>7.2f} of plain"
    )
  value = {
      "image_size": _SIZE,
      "batch_size": _BATCH,
      "bytes_per_image": size / _NUM_IMAGES,
      **environment.describe(None),
      "pipelines": result,
  }
  artifacts.write_json(argv[1], value)


if __name__ == "__main__":
  app.run(main)
