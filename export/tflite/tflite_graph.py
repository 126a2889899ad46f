"""What a TF-Lite file is made of."""

from typing import Any

from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def _names(enumeration):
  return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


_OPERATIONS = _names(schema.BuiltinOperator)
_TYPES = _names(schema.TensorType)


def operation(model: schema.ModelT, operator: schema.OperatorT) -> int:
  """The built-in code of an operator of a file."""
  code = model.operatorCodes[operator.opcodeIndex]
  return max(code.builtinCode, code.deprecatedBuiltinCode)


def operators(content: bytes) -> list[dict[str, Any]]:
  """Lists the operators of all subgraphs.

  Args:
    content: bytes of a TF-Lite file.

  Returns:
    A list of `{"subgraph": index, "name": of the subgraph, "operation": name,
    "types": of first input, filter and output}`; types only where there are
    weights.
  """
  model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
  rows = []
  for index, graph in enumerate(model.subgraphs):
    # None where a branch passes its input through.
    for operator in graph.operators if graph.operators is not None else ():
      name = _OPERATIONS[operation(model, operator)]
      types = []
      if name in _WEIGHTED:
        tensors = (*operator.inputs[:2], operator.outputs[0])
        types = [_TYPES[graph.tensors[t].type] for t in tensors]
      rows.append(
          {
              "subgraph": index,
              "name": (graph.name or b"").decode(),
              "operation": name,
              "types": types,
          }
      )
  return rows


def check(content: bytes, *, quantization: str) -> None:
  """Checks that a file holds only built-in operations, all quantized.

  The gates' dense layers, in the main subgraph, stay float32 under int8.

  Args:
    content: bytes of a TF-Lite file.
    quantization: one of `variants.QUANTIZATIONS`.

  Raises:
    ValueError: names what is wrong.
  """
  rows = operators(content)
  foreign = {r["operation"] for r in rows if r["operation"] == "CUSTOM"}
  if foreign:
    raise ValueError("The file holds operations that are not TF-Lite's own.")
  if quantization != "int8":
    return
  floats = [
      f"{row['operation']} of {row['name'] or 'the main graph'}"
      for row in rows
      if row["types"]
      and set(row["types"]) != {"INT8"}
      and (row["operation"] != "FULLY_CONNECTED" or row["subgraph"])
  ]
  if floats:
    raise ValueError(
        f"int8: these stayed float32, for no calibration image ran them: "
        f"{', '.join(floats)}"
    )
