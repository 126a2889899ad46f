"""SavedModels without what every loader computes anew.

TensorFlow writes the shape of each tensor beside it, and names the inside of a
branch by the whole path to it. In a network of many small blocks that is more
than a tenth of the weights.
"""

import os
import pathlib

from tensorflow.core.protobuf import saved_model_pb2

# No loader infers through them what shapes a function returns.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def slim(path):
  """Makes `saved_model.pb` smaller; it answers as before.

  Signatures keep their names, types and shapes. Inside of functions shapes go,
  and what all names of a function begin with.

  Args:
    path: of a SavedModel, which is changed.
  """
  path = pathlib.Path(path)
  file = path / "saved_model.pb"
  saved = saved_model_pb2.SavedModel()
  saved.ParseFromString(file.read_bytes())
  for meta_graph in saved.meta_graphs:
    # Those that callers see; what they are told of inputs comes from here.
    seen = meta_graph.object_graph_def.concrete_functions
    for function in meta_graph.graph_def.library.function:
      _drop_shapes(function)
      if function.signature.name not in seen:
        _drop_names_of_arguments(function)
      _drop_scope(function)
  file.write_bytes(saved.SerializeToString(deterministic=True))
  # Of the file as it was; it is optional.
  (path / "fingerprint.pb").unlink(missing_ok=True)


def _drop_shapes(function):
  for node in function.node_def:
    if node.op not in _CALLS:
      node.attr.pop("_output_shapes", None)


def _drop_names_of_arguments(function):
  function.attr.pop("_input_shapes", None)
  for argument in function.arg_attr.values():
    for name in ("_output_shapes", "_user_specified_name"):
      argument.attr.pop(name, None)
  inputs, outputs = function.signature.input_arg, function.signature.output_arg
  _rename(function, {arg.name: f"arg{i}" for i, arg in enumerate(inputs)})
  results = [function.ret[arg.name] for arg in outputs]
  function.ret.clear()
  for i, (arg, result) in enumerate(zip(outputs, results, strict=True)):
    arg.name = f"ret{i}"
    function.ret[arg.name] = result


def _drop_scope(function):
  scoped = [node.name for node in function.node_def if "/" in node.name]
  scope, _, _ = os.path.commonprefix(scoped).rpartition("/")
  _rename(function, {name: name.removeprefix(f"{scope}/") for name in scoped})


def _rename(function, names):
  """Renames inputs and nodes of a function, or none if two would be one."""
  renamed = [*function.signature.input_arg, *function.node_def]
  after = [names.get(part.name, part.name) for part in renamed]
  if len(set(after)) < len(after):
    return

  def rename(tensor):  # As in `node:output:0`, or `^node` for control.
    name, colon, rest = tensor.removeprefix("^").partition(":")
    control = "^" if tensor.startswith("^") else ""
    return control + names.get(name, name) + colon + rest

  for part, name in zip(renamed, after, strict=True):
    part.name = name
  for node in function.node_def:
    node.input[:] = map(rename, node.input)
  for results in (function.ret, function.control_ret):
    for key, tensor in list(results.items()):
      results[key] = rename(tensor)
