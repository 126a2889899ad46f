"""TF-Lite files run as on a device: by LiteRT and NumPy alone."""

from collections.abc import Callable
import os
import pathlib

from ai_edge_litert import interpreter as litert
import numpy as np

Run = Callable[[np.ndarray], object]


def load(
    path: str | os.PathLike,
    *,
    threshold: float | None = None,
    num_threads: int | None = None,
) -> Run:
  """Loads a file.

  Args:
    path: of the file, of one image and maybe a threshold.
    threshold: of the gates; must be given where the file takes one.
    num_threads: None for as many as there are cores.

  Returns:
    A function of float32 [1, height, width, channels], which only runs the
    network.
  """
  interpreter = litert.Interpreter(
      model_content=pathlib.Path(path).read_bytes(),
      num_threads=num_threads or os.cpu_count(),
  )
  interpreter.allocate_tensors()
  for detail in interpreter.get_input_details():
    if "threshold" in detail["name"]:
      value = np.full(detail["shape"], threshold, np.float32)
      interpreter.set_tensor(detail["index"], value)
    else:
      index = detail["index"]

  def run(images):
    interpreter.set_tensor(index, images)
    interpreter.invoke()

  return run
