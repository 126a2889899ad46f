"""Trained classifiers in `.keras` files of others, gated.

What a network expects of its images becomes part of it, so that an export
takes images in [0, 255] as all do.
"""

from collections.abc import Callable
from collections.abc import Collection
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from pgates import graphs
from pgates import model_files
from pgates.layers import gate_kinds
from pgates.layers import gates as gates_lib
from pgates.networks import adapting
from pgates.residuals import heads
from pgates.residuals import reading
from pgates.training import model as model_lib

PREFIX = "file:"

_keras_mode = functools.partial(
    functools.partial, keras.applications.imagenet_utils.preprocess_input
)
# What is made of pixels in [0, 255]; the last three as Keras names them.
SCALINGS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "pixels": lambda images: images,
    "unit": lambda images: images / 255.0,
    "tf": _keras_mode(mode="tf"),
    "torch": _keras_mode(mode="torch"),
    "caffe": _keras_mode(mode="caffe"),
}
# These know of red, green and blue.
_OF_COLOURS = ("torch", "caffe")
_OWN_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)


def scalings(channels: int) -> list[str]:
  """The names in `SCALINGS` that there are for images of so many channels."""
  return [s for s in SCALINGS if channels == 3 or s not in _OF_COLOURS]


def load(path: str, *, num_classes: int, new_head: bool) -> keras.Model:
  """Loads a classifier of images, and checks that it is one.

  Args:
    path: of a `.keras` file.
    num_classes: that it must tell apart.
    new_head: whether its last dense layer is replaced by a fresh one, of that
      many classes.

  Returns:
    A functional Keras model of images, [batch, height, width, channels], to
    logits or probabilities, [batch, num_classes]; all of its layers trainable.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it holds no such network; the message says what it holds.
  """
  network = model_files.load_any(path)
  name = pathlib.Path(path).name
  inputs = getattr(network, "inputs", None) or []
  if len(inputs) != 1 or len(inputs[0].shape) != 4:
    raise ValueError(
        f"{name} does not take one batch of images, [batch, height, width, "
        f"channels]. It takes: {[tuple(each.shape) for each in inputs]}. In "
        "code of your own, pgates.gate_residuals gates such a network."
    )
  if new_head:
    network = _with_new_head(network, num_classes, name)
  outputs = network.outputs
  if len(outputs) != 1 or tuple(outputs[0].shape) != (None, num_classes):
    raise ValueError(
        f"The data have {num_classes} classes, and {name} gives "
        f"{[tuple(each.shape) for each in outputs]}: it is no classifier of "
        "as many (nor is a single output of a sigmoid, or of a regression). "
        "Give --new_head to replace its last dense layer and train that, or "
        "the images that it was trained for."
    )
  # To set it of the network alone leaves frozen layers as they are.
  for layer in network._flatten_layers():
    layer.trainable = True
  return network


def _with_new_head(network, num_classes, name):
  dense = [
      layer
      for layer in network._flatten_layers(include_self=False)
      if isinstance(layer, keras.layers.Dense)
  ]
  if not dense or dense[-1].units != network.outputs[0].shape[-1]:
    raise ValueError(
        f"{name} does not end with a dense layer that --new_head could "
        "replace. Build the network with such a layer, and save that."
    )

  def replace(layer):
    if layer is not dense[-1]:
      return layer
    config = {**layer.get_config(), "units": num_classes}
    return type(layer).from_config(config)

  return graphs.rebuild(network, replace=replace)


def scaling_of(network: keras.Model, given: str | None) -> str | None:
  """The scaling of a network's images.

  Args:
    network: of `load`.
    given: a name in `SCALINGS`, or None.

  Returns:
    What is given, else "pixels" where the network has a layer that scales
    images itself, else None.
  """
  layers = network._flatten_layers(include_self=False)
  has_own = any(isinstance(layer, _OWN_SCALING) for layer in layers)
  return given or ("pixels" if has_own else None)


def ending(network: keras.Model) -> str:
  """What a network of `load` gives: "logits" or "probabilities".

  Args:
    network: a functional Keras model of one output.

  Raises:
    ValueError: if it gives probabilities that are made in a way that is not
      seen from outside, so that there are no logits to train.
  """
  if heads.last_call(reading.read(network)) is not None:
    return "probabilities"
  shape = [2, *(size or 64 for size in network.inputs[0].shape[1:])]
  noise = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
  outputs = np.asarray(network(noise, training=False))
  if (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3):
    raise ValueError(
        f"{network.name} ends with probabilities, but not with a softmax of "
        "Keras: there are no logits to train. Save it with "
        "keras.layers.Softmax, or an activation of its dense layer, at its "
        "end; or without."
    )
  return "logits"


def check_images(
    network: keras.Model, shape: tuple[int | None, int | None, int]
) -> None:
  """Raises a ValueError for images of another shape than a network takes.

  Args:
    network: of `load`.
    shape: (height, width, channels) of the images; None for a size that is not
      known.
  """
  wanted = network.inputs[0].shape[1:]
  pairs = zip(wanted, shape, strict=True)
  if any(None not in pair and pair[0] != pair[1] for pair in pairs):
    raise ValueError(
        f"{network.name} takes images of (height, width, channels) "
        f"{tuple(wanted)}. Received: {tuple(shape)}. Give its side as "
        "--image_size; the number of channels is that of the data."
    )


def build(
    path: str,
    num_classes: int,
    *,
    input_scaling: str | None = None,
    new_head: bool = False,
    gate: str | type[gates_lib.Gate] | gate_kinds.GateFactory = "dependent",
    input_shape: tuple[int, int, int],
    always_open: Collection[int] = (),
    synchronized: bool = False,
) -> model_lib.GatedModel:
  """A trained network with gates on its residual blocks.

  Layers that were frozen are trained like others. Batch norms average as ours
  do (see `adapting.adapted`); types of numbers stay those of the file.

  Args:
    path: of a `.keras` file.
    num_classes: as of `load`.
    input_scaling: what it expects of images, a name in `SCALINGS`; may be None
      where the network has a `Rescaling` or `Normalization` of its own.
    new_head: as of `load`.
    gate: as of `pgates.ResNet50`; `"none"` for blocks that always run.
    input_shape: (height, width, channels) of the images.
    always_open: indices of blocks that always run and carry no gate.
    synchronized: whether batch norms use statistics over all replicas.

  Returns:
    A `pgates.GatedModel`, not compiled, with the weights of the file.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: as of `load`, or if it takes other images, or has no residual
      blocks.
  """
  network = load(path, num_classes=num_classes, new_head=new_head)
  ending(network)
  check_images(network, input_shape)
  scaling = scaling_of(network, input_scaling)
  if scaling not in scalings(input_shape[-1]):
    raise ValueError(
        f"input_scaling must be one of {', '.join(scalings(input_shape[-1]))} "
        f"for images of {input_shape[-1]} channels. Received: {input_scaling!r}"
    )
  network = adapting.adapted(network, synchronized=synchronized)
  images = keras.Input(input_shape, name="images")
  outputs = network(SCALINGS[scaling](images))
  return adapting.gated(
      keras.Model(images, outputs, name=network.name),
      gate,
      always_open=always_open,
      synchronized=synchronized,
  )
