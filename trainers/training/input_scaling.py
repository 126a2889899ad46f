"""Whether a trained network gets images as it was trained on."""

import numpy as np
import tensorflow as tf

import image_data
from pgates.networks import network_files
from pgates.networks import networks
from trainers.settings import config as config_lib
from trainers.training import batches

_NUM_IMAGES = 512
# Another scaling is better by so much, and by more than by chance.
_LOST, _DEVIATIONS = 0.05, 3.0


def check(
    config: config_lib.Config,
    dataset: image_data.ImageDataset,
    *,
    bad_examples: image_data.BadExamples | None = None,
) -> None:
  """Refuses a scaling with which a trained network does not know its images.

  A network from a file, with the head that it was trained with, is asked for
  its classes of some hundred validation images under each usual scaling.
  Prints its accuracy. Other networks, and one without validation images, pass.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    bad_examples: an `image_data.BadExamples`.

  Raises:
    ValueError: if another scaling is far better, or none is said.
  """
  path = networks.file_of(config.network)
  if path is None or config.new_head:
    return
  network = network_files.load(
      path, num_classes=dataset.num_classes, new_head=False
  )
  size = config.image_size
  sides = dataset.image_shape[:2] if size is None else (size, size)
  network_files.check_images(network, (*sides, dataset.image_shape[-1]))
  right, number = _right_answers(
      network,
      batches.evaluation_examples(
          config, dataset, "validation", bad_examples=bad_examples
      ),
  )
  if not number:
    return
  given = network_files.scaling_of(network, config.input_scaling)
  accuracies = ", ".join(
      f"{name} {100 * of_one.mean():.1f} %" for name, of_one in right.items()
  )
  best = max(right, key=lambda name: right[name].mean())
  told = (
      f"{path}, as it is: of {number} validation images right by scaling: "
      f"{accuracies}."
  )
  if given is None or _is_far(right[best], right[given]):
    said = f"--input_scaling={given}" if given else "no --input_scaling"
    raise ValueError(
        f"{told} Received: {said}, of which the best is "
        f"--input_scaling={best}: give that. If none is as it should be, the "
        "order of the classes may be another: here it is that of the data."
    )
  print(
      f"{path} gives {network_files.ending(network)}, takes images by "
      f"--input_scaling={given}, and is right on "
      f"{100 * right[given].mean():.1f} % of {number} validation images.",
      flush=True,
  )


def _right_answers(network, examples):
  """Scaling -> bool [images], and how many images there are."""
  names = network_files.scalings(network.inputs[0].shape[-1])
  right, number = {name: [] for name in names}, 0
  for images, labels in examples:
    for name in names:
      scaled = network_files.SCALINGS[name](tf.identity(images))
      outputs = network.predict_on_batch(scaled)
      right[name].append(np.argmax(outputs, axis=-1) == labels.numpy())
    number += len(labels)
    if number >= _NUM_IMAGES:
      break
  if not number:
    return {}, 0
  return {name: np.concatenate(each) for name, each in right.items()}, number


def _is_far(best, given):
  """Whether answers are right more often than others to the same images."""
  won, lost = int(np.sum(best & ~given)), int(np.sum(given & ~best))
  # McNemar's test.
  return won - lost > max(_LOST * len(best), _DEVIATIONS * np.sqrt(won + lost))
