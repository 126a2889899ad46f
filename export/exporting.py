"""From a trained network to the files that are served, checked on the way."""

import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from export import variants
from export.checks import self_check
from export.decisions import decided_networks
from export.decisions import dropped_blocks
from export.inputs import data as data_lib
from export.saved_model import saved_models
from export.saved_model import serving
from export.tflite import conversion
from export.tflite import tflite_graph
import pgates

_BATCH_SIZE = 32


def export_variant(
    variant: variants.Variant,
    decided: dropped_blocks.Decided,
    data: data_lib.Data,
    *,
    folder: pathlib.Path,
    name: str,
    metadata: dict,
) -> tuple[pathlib.Path, int, self_check.Report]:
  """Writes and checks one variant.

  Args:
    variant: the form to export.
    decided: the network to export.
    data: to measure on.
    folder: to write to.
    name: of the served model, or of the TF-Lite file.
    metadata: for JSON, to be stored with the model.

  Returns:
    The path, its size in bytes, and what the check found.

  Raises:
    CheckFailed: if the check failed.
  """
  path = folder / name
  if variant.format == "tflite":
    return path, *_export_tflite(variant, decided, data, path)
  _write_saved_model(decided, data, path, name, metadata)
  saved_models.check_operations(path, decided.strategy)
  report = self_check.check(path, variant, decided, data.examples)
  return path, _size(path), report


def write_open(
    model: pgates.GatedModel,
    data: data_lib.Data,
    path: pathlib.Path,
    format: str,
    *,
    name: str,
) -> dropped_blocks.Decided:
  """Writes a network as a variant is written, unchecked, to be compared with.

  Args:
    model: a network; its gates are opened for good.
    data: whose preparation the file holds.
    path: of the file or folder.
    format: `saved_model` or `tflite`.
    name: of a served model.

  Returns:
    The network that was written.
  """
  whole = decided_networks.opened(model)
  decided = dropped_blocks.Decided(
      whole, pgates.parse_strategy("always_open"), whole
  )
  if format == "tflite":
    path.write_bytes(conversion.convert(whole, dynamic=False))
  else:
    _write_saved_model(decided, data, path, name, {})
  return decided


def row_of_open(
    decided: dropped_blocks.Decided,
    data: data_lib.Data,
    path: pathlib.Path,
    format: str,
    *,
    name: str,
) -> dict[str, Any]:
  """What `export.json` says of a network that `write_open` wrote.

  Args:
    decided: the network.
    data: to measure on.
    path: of the file or folder.
    format: `saved_model` or `tflite`.
    name: stands for the gating.
  """
  found = keras_results(decided, data.examples)
  return {
      **dataclasses.asdict(variants.Variant(name, format)),
      "bytes": path.stat().st_size if path.is_file() else _size(path),
      "dense_macs": decided.model.macs.dense,
      "accuracy": found["keras_accuracy"],
      **found,
  }


def _write_saved_model(decided, data, path, name, metadata):
  with tempfile.TemporaryDirectory() as assets:
    server = _server(decided, data, pathlib.Path(assets), metadata)
    saved_models.write(server, path, name=name)


def _server(decided, data, assets, metadata):
  labels, gates = assets / "labels.txt", assets / "gates.json"
  names = "".join(f"{label}\n" for label in data.class_names)
  labels.write_text(names, "utf-8")
  gates.write_text(json.dumps(metadata, indent=2) + "\n")
  return serving.Server(
      decided.model,
      decided.strategy,
      labels=labels,
      gates=gates,
      preparation=data.examples.preparation,
  )


def _export_tflite(variant, decided, data, path):
  content = conversion.convert(
      decided.model,
      dynamic=decided.threshold is not None,
      quantization=variant.quantization,
      images=data.calibration,
  )
  path.write_bytes(content)
  tflite_graph.check(content, quantization=variant.quantization)
  report = self_check.check(path, variant, decided, data.examples)
  return len(content), report


def _size(folder):
  return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def keras_results(
    decided: dropped_blocks.Decided, examples: self_check.Examples
) -> dict[str, float]:
  """Keras's accuracy and executed multiply-adds on the checked examples."""
  batches = tf.data.Dataset.from_tensor_slices(
      (examples.images, examples.labels)
  ).batch(_BATCH_SIZE)
  found = measure(decided.reference, batches)
  return {"keras_accuracy": found["accuracy"], "macs": found["macs"]}


def measure(
    model: pgates.GatedModel, batches: tf.data.Dataset
) -> dict[str, float]:
  """Accuracy, and mean of the executed multiply-adds, on labelled data.

  Args:
    model: a network with its gates decided.
    batches: of (images, labels).

  Returns:
    `{"accuracy", "macs"}`.
  """

  def per_example(outputs, labels):
    return {
        "accuracy": outputs["logits"].argmax(axis=-1) == labels.reshape(-1),
        "macs": model.macs.executed(outputs["gates"]).numpy(),
    }

  found = pgates.collect(model, batches, per_example)
  return {name: float(np.mean(values)) for name, values in found.items()}
