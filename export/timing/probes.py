"""Single blocks in files, to measure what their branches and gates take.

Of each block two networks are written: one whose gate decides, by a threshold
that the caller gives, and one without branch and gate. With a threshold that
no probability is above, the first takes longer than the second by the gate;
with one that all are above, longer than that by the branch.
"""

import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf

from export.saved_model import graph_stripping
from export.saved_model import inference_graphs
from export.saved_model import serving
from export.timing import block_times
from export.timing import costs as costs_lib
from export.timing import standalone
from file_io import artifacts
import pgates
from pgates import graphs


def write(
    model: pgates.GatedModel,
    folder: pathlib.Path,
    *,
    format: str,
    batch_size: int = 1,
) -> None:
  """Writes the probes of all blocks that have a gate.

  Args:
    model: the network.
    folder: to write to.
    format: `saved_model` or `tflite`.
    batch_size: to measure at; 1 for TF-Lite.
  """
  folder.mkdir(parents=True, exist_ok=True)
  blocks = graphs.gated_calls_with_shapes(model)
  shapes = []
  for i, (block, shape) in enumerate(blocks):
    shapes.append([batch_size, *shape])
    if block.gate is None or block.branch is None:
      continue
    print(f"  probe {i + 1}/{len(blocks)}: {block.name}", flush=True)
    for kind, probe in (("deciding", block), ("closed", _closed(block))):
      _write_one(
          _network(probe, shape),
          folder / f"block{i:03}_{kind}",
          format=format,
          is_deciding=kind == "deciding",
      )
  manifest = {
      "format": format,
      "batch_size": batch_size,
      "shapes": shapes,
      "network": costs_lib.fingerprint(model),
  }
  artifacts.write_json(folder / block_times.MANIFEST, manifest)
  if format == "tflite":
    standalone.write(folder / standalone.NAME)


def _closed(block):
  return block.with_layers(None, gate=None, shortcut=block.shortcut)


def _network(block, shape):
  inputs = keras.Input(shape, name="images")
  outputs, gate, logit = block(inputs)
  return keras.Model(
      inputs, {"outputs": outputs, "gates": gate, "gate_logits": logit}
  )


def _write_one(network, path, *, format, is_deciding):
  is_lite = format == "tflite"
  core = serving.make_core(
      network,
      "threshold" if is_deciding else "always_open",
      execution="conditional" if is_lite else "routed",
      average_pool=not is_lite,
  )
  module = tf.Module()
  size = 1 if is_lite else None
  specs = [
      tf.TensorSpec([size, *network.input.shape[1:]], tf.float32, "images"),
      tf.TensorSpec([size], tf.float32, "threshold"),
  ]

  def run(images, threshold):
    outputs = core(images, threshold)
    # Both kinds read both inputs.
    return {"outputs": outputs["outputs"], "decided": threshold + 0.0}

  module.run = tf.function(run, input_signature=specs, autograph=False)
  function = module.run.get_concrete_function()
  if is_lite:
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function], module
    )
    path.with_suffix(".tflite").write_bytes(converter.convert())
    return
  with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
    inference_graphs.save(module, temporary, function)
    graph_stripping.strip(temporary)
    shutil.copytree(temporary, path)
