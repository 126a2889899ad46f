"""Int8 quantization of TF-Lite files with `If`: an adapter around a bug.

TensorFlow 2.21's quantizer crashes on an infinite calibrated range
(tensorflow/tensorflow#118185), and the logit of the threshold 0 is one. At a
tiny threshold instead it would make the decisions themselves int8, which then
stay open at every threshold. So the ranges of the decisions are removed
between calibration and quantization; the quantizer leaves tensors without a
range in float32. That takes the converter's calibrate-only mode and its
quantizer, which `tf.lite.experimental.QuantizationDebugger` uses too, but
which have no public name.
"""

from collections.abc import Callable
from collections.abc import Iterable
import math

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import convert as tflite_convert
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from export.tflite import tflite_graph

_FEATURE_MAP_RANK = 4


def convert(
    converter: tf.lite.TFLiteConverter,
    samples: Callable[[], Iterable[dict[str, np.ndarray]]],
) -> bytes:
  """Converts with int8 weights and activations, gates in float32.

  Args:
    converter: a `tf.lite.TFLiteConverter`.
    samples: function that yields dicts of inputs, to calibrate on; together
      they must open every branch.

  Returns:
    The bytes of the file.

  Raises:
    ValueError: if a range is not finite.
  """
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
  converter.representative_dataset = samples
  converter._experimental_calibrate_only = True
  calibrated = _without_ranges_of_gates(converter.convert())
  return bytes(tflite_convert.mlir_quantize(calibrated))


def _without_ranges_of_gates(content):
  model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
  (signature,) = model.signatureDefs
  main = model.subgraphs[signature.subgraphIndex]
  decisions = {
      int(entry.tensorIndex)
      for entry in signature.inputs
      if entry.name.decode() == "threshold"
  }
  read = []
  for operator in main.operators:  # In the order of execution.
    code = tflite_graph.operation(model, operator)
    if code != schema.BuiltinOperator.IF and decisions.intersection(
        operator.inputs
    ):
      decisions.update(map(int, operator.outputs))
      read.extend(map(int, operator.inputs))
  for index in decisions | _logits(main, read):
    main.tensors[index].quantization = None
  _check_finite(model)
  return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _logits(graph, read):
  """What the gates compute, back to the feature maps that they pool."""
  producers = {int(t): op for op in graph.operators for t in op.outputs}
  found = set()
  while read:
    index = read.pop()
    shape = graph.tensors[index].shape
    rank = 0 if shape is None else len(shape)
    if index in producers and index not in found and rank < _FEATURE_MAP_RANK:
      found.add(index)
      read.extend(map(int, producers[index].inputs))
  return found


def _check_finite(model):
  for graph in model.subgraphs:
    for tensor in graph.tensors:
      ranges = tensor.quantization
      if ranges is None or ranges.min is None or ranges.max is None:
        continue
      values = (*ranges.min, *ranges.max)
      if not all(math.isfinite(v) and abs(v) < 1e37 for v in values):
        raise ValueError(
            f"int8: the calibrated range of {tensor.name.decode()} is not "
            f"finite: {values}. Look for NaN in the calibration images."
        )
