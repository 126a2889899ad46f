"""SavedModels in the folders that TensorFlow Serving watches."""

import os
import pathlib

from google.protobuf import text_format
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2

from export.saved_model import graph_stripping
from export.saved_model import inference_graphs
from export.saved_model import serving
from export.saved_model import warmup
from file_io import artifacts
import pgates

# The sizes that the server pads batches to, and that warm-up runs.
ALLOWED_BATCH_SIZES = (1, 8, 32)

# By hand: the client package has no message for it.
_BATCHING = """\
max_batch_size {{ value: {largest} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: {threads} }}
{sizes}
"""


def publish(path: str | os.PathLike, base: str | os.PathLike) -> int:
  """Makes a folder the next version of a model.

  A server that watches `base` never sees half a model: the folder is renamed
  in. Of two at once, each gets a version of its own.

  Args:
    path: of a whole SavedModel, on the same file system.
    base: folder of the versions 1, 2, 3, ...; it is made.

  Returns:
    The number of the version.
  """
  base = pathlib.Path(base)
  base.mkdir(exist_ok=True)
  while True:
    number = 1 + max(existing_versions(base), default=0)
    try:
      # Fails where another export has just made that version.
      os.rename(path, base / str(number))
      return number
    except OSError:
      if not (base / str(number)).exists():
        raise


def existing_versions(base: str | os.PathLike) -> list[int]:
  """The numbers of the versions in a folder, in order."""
  base = pathlib.Path(base)
  if not base.is_dir():
    return []
  return sorted(int(p.name) for p in base.iterdir() if p.name.isdigit())


def write(
    server: serving.Server, path: str | os.PathLike, *, name: str
) -> None:
  """Writes a SavedModel with its warm-up requests and batching parameters.

  Args:
    server: a `serving.Server`.
    path: the folder to write.
    name: under which the model is served.
  """
  path = pathlib.Path(path)
  inference_graphs.save(server, path, server.signatures())
  graph_stripping.strip(path)
  warmup.write(
      path / "assets.extra" / "tf_serving_warmup_requests",
      name=name,
      image_shape=server.image_shape,
      batch_sizes=ALLOWED_BATCH_SIZES,
      with_threshold=server.takes_threshold,
  )
  sizes = "\n".join(f"allowed_batch_sizes: {n}" for n in ALLOWED_BATCH_SIZES)
  (path / "batching_params.pbtxt").write_text(
      _BATCHING.format(
          largest=max(ALLOWED_BATCH_SIZES),
          threads=os.cpu_count(),
          sizes=sizes,
      )
  )


def write_models_config(output_dir: str | os.PathLike) -> pathlib.Path:
  """Writes `models.config` for all models in a folder.

  Args:
    output_dir: folder whose subfolders hold versions.

  Returns:
    The path of the file.
  """
  output_dir = pathlib.Path(output_dir)
  config = model_server_config_pb2.ModelServerConfig()
  for base in sorted(output_dir.iterdir()):
    if base.is_dir() and existing_versions(base):
      config.model_config_list.config.add(
          name=base.name,
          base_path=str(base.resolve()),
          model_platform="tensorflow",
      )
  path = output_dir / "models.config"
  artifacts.write_text(path, text_format.MessageToString(config, as_utf8=True))
  return path


def check_operations(
    path: str | os.PathLike, strategy: pgates.Strategy
) -> None:
  """Checks what operations a SavedModel is made of.

  Args:
    path: of the SavedModel.
    strategy: that it was exported with.

  Raises:
    ValueError: for an operation that TensorFlow Serving does not link, a
      variable, or a random operation under a strategy that is not random.
  """
  saved = saved_model_pb2.SavedModel()
  saved.ParseFromString((pathlib.Path(path) / "saved_model.pb").read_bytes())
  graph = saved.meta_graphs[0].graph_def
  library = graph.library.function
  functions = {function.signature.name for function in library}
  operations = {node.op for f in library for node in f.node_def}
  # Outside of functions, the names of the assets are variables.
  bad = {op for op in operations if "PyFunc" in op or "Variable" in op}
  core = {op for op in operations if hasattr(tf.raw_ops, op)}
  bad |= operations - functions - core
  if not strategy.is_random:
    bad |= {op for op in operations if "Random" in op}
  if bad:
    raise ValueError(
        f"{path} holds operations that must not be served: {sorted(bad)}"
    )
