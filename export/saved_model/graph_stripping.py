"""SavedModels without what every loader computes again, or nobody reads.

TensorFlow writes the shape of each tensor beside it, copies results by
`Identity`, repeats constants, and names each node by the whole path to it. In a
network of many small blocks this is a tenth of the weights.
"""

import os
import pathlib

from tensorflow.core.protobuf import saved_model_pb2

# No loader infers through them what shapes a function returns.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# Of a constant that is worth a look, in bytes.
_SMALL = 1024
# Errors of these give their names.
_CHECKS = ("Assert", "EnsureShape")


def strip(path: str | os.PathLike) -> None:
  """Makes `saved_model.pb` smaller; it answers as before.

  Signatures keep their names, types and shapes. Inside of functions shapes and
  copies go, and numbers take the place of names, but for those of checks.

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
    graph = meta_graph.graph_def
    for function in graph.library.function:
      _drop_shapes(function)
      _drop_copies(function)
      if function.signature.name not in seen:
        _drop_names_of_arguments(function)
      _number_nodes(function)
    _number_functions(graph, seen)
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


def _drop_copies(function):
  """Drops each `Identity` that nothing waits for, and repeated constants."""
  controls = {t[1:] for n in function.node_def for t in n.input if t[0] == "^"}
  controls |= set(function.control_ret.values())
  sources = {
      f"{node.name}:output:0": node.input[0]
      for node in function.node_def
      if node.op == "Identity"
      and len(node.input) == 1
      and node.name not in controls
  }

  constants = {}
  for node in function.node_def:
    # Weights are never alike.
    is_plain = node.op == "Const" and not node.input
    if is_plain and node.name not in controls and node.ByteSize() < _SMALL:
      value = node.attr["value"].SerializeToString(deterministic=True)
      first = constants.setdefault(value, node.name)
      if first != node.name:
        sources[f"{node.name}:output:0"] = f"{first}:output:0"

  def source(tensor):
    while tensor in sources:
      tensor = sources[tensor]
    return tensor

  kept = [n for n in function.node_def if f"{n.name}:output:0" not in sources]
  for node in kept:
    node.input[:] = map(source, node.input)
  # The nodes are copied before the list that owns them is cleared.
  bare = type(function)(node_def=kept)
  function.ClearField("node_def")
  function.node_def.extend(bare.node_def)
  for name, tensor in list(function.ret.items()):
    function.ret[name] = source(tensor)


def _number_nodes(function):
  nodes = enumerate(function.node_def)
  _rename(function, {n.name: f"n{i}" for i, n in nodes if n.op not in _CHECKS})


def _number_functions(graph, seen):
  library = graph.library.function
  inner = [f.signature for f in library if f.signature.name not in seen]
  names = {signature.name: f"f{i}" for i, signature in enumerate(inner)}
  for signature in inner:
    signature.name = names[signature.name]
  for nodes in (graph.node, *(function.node_def for function in library)):
    for attribute in (value for node in nodes for value in node.attr.values()):
      # Of an `If` and its like, or the branches of a `Case`.
      for called in (attribute.func, *attribute.list.func):
        if called.name in names:
          called.name = names[called.name]


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
