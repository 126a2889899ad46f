"""TensorFlow's C API from Python: SavedModels as TensorFlow Serving runs them.

For a process of its own, in which no TensorFlow is imported: two copies of its
libraries would meet.
"""

import ctypes

# These two bring Python's OpenSSL, which has to be loaded before TensorFlow's:
# the process dies if it comes second.
import random  # noqa: F401

import numpy as np
import numpy.random  # noqa: F401

_TYPES = {
    np.dtype(t): code
    for t, code in (
        (np.float32, 1),
        (np.uint8, 4),
        (np.int64, 9),
    )
}
_DTYPES = {code: dtype for dtype, code in _TYPES.items()}
_STRING, _STRING_SIZE = 7, 24


class _Output(ctypes.Structure):
  _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def _library(folder):
  for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
    library = ctypes.CDLL(f"{folder}/{name}", mode=ctypes.RTLD_GLOBAL)
  pointer, text = ctypes.c_void_p, ctypes.c_char_p
  for name, result, arguments in (
      ("TF_NewStatus", pointer, []),
      ("TF_GetCode", ctypes.c_int, [pointer]),
      ("TF_Message", text, [pointer]),
      ("TF_NewGraph", pointer, []),
      ("TF_NewSessionOptions", pointer, []),
      (
          "TF_LoadSessionFromSavedModel",
          pointer,
          [pointer, pointer, text, pointer, ctypes.c_int, *[pointer] * 3],
      ),
      ("TF_GraphOperationByName", pointer, [pointer, text]),
      (
          "TF_AllocateTensor",
          pointer,
          [ctypes.c_int, pointer, ctypes.c_int, ctypes.c_size_t],
      ),
      ("TF_TensorData", pointer, [pointer]),
      ("TF_DeleteTensor", None, [pointer]),
      ("TF_SetConfig", None, [pointer, text, ctypes.c_size_t, pointer]),
      ("TF_StringInit", None, [pointer]),
      ("TF_StringCopy", None, [pointer, text, ctypes.c_size_t]),
      ("TF_TensorType", ctypes.c_int, [pointer]),
      ("TF_NumDims", ctypes.c_int, [pointer]),
      ("TF_Dim", ctypes.c_int64, [pointer, ctypes.c_int]),
      (
          "TF_SessionRun",
          None,
          [
              *[pointer] * 4,
              ctypes.c_int,
              pointer,
              pointer,
              ctypes.c_int,
              pointer,
              ctypes.c_int,
              pointer,
              pointer,
          ],
      ),
  ):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
  return library


def _tensor(library, array):
  array = np.asarray(array, order="C")
  strings = array.dtype.kind == "S"
  kind = _STRING if strings else _TYPES[array.dtype]
  size = _STRING_SIZE * array.size if strings else array.nbytes
  shape = (ctypes.c_int64 * array.ndim)(*array.shape)
  tensor = library.TF_AllocateTensor(kind, shape, array.ndim, size)
  data = library.TF_TensorData(tensor)
  if not strings:
    ctypes.memmove(data, array.ctypes.data, size)
  for i, value in enumerate(array.flat if strings else ()):
    library.TF_StringInit(data + _STRING_SIZE * i)
    library.TF_StringCopy(data + _STRING_SIZE * i, value, len(value))
  return tensor


def _array(library, tensor):
  rank = library.TF_NumDims(tensor)
  shape = [library.TF_Dim(tensor, i) for i in range(rank)]
  array = np.empty(shape, _DTYPES[library.TF_TensorType(tensor)])
  ctypes.memmove(array.ctypes.data, library.TF_TensorData(tensor), array.nbytes)
  return array


class Model:
  """A SavedModel in a session.

  Args:
    libraries: folder of libtensorflow_cc.
    path: of the SavedModel.
    config: a serialized `tf.compat.v1.ConfigProto`; empty for TensorFlow's own.

  Raises:
    RuntimeError: with TensorFlow's message.
  """

  def __init__(self, libraries: str, path: str, config: bytes = b""):
    self.library = _library(libraries)
    self.graph = self.library.TF_NewGraph()
    self.status = self.library.TF_NewStatus()
    options = self.library.TF_NewSessionOptions()
    self.library.TF_SetConfig(options, config, len(config), self.status)
    self.check()
    tags = (ctypes.c_char_p * 1)(b"serve")
    self.session = self.library.TF_LoadSessionFromSavedModel(
        *(options, None, path.encode(), tags, 1, self.graph, None, self.status)
    )
    self.check()

  def run(self, feeds: dict[str, np.ndarray], fetches: list[str]) -> list:
    """Feeds arrays by tensor name and fetches others; raises as above."""
    call = Call(self, feeds, fetches)
    call()
    return call.arrays()

  def check(self) -> None:
    """Raises TensorFlow's last error, if there was one."""
    if self.library.TF_GetCode(self.status):
      raise RuntimeError(self.library.TF_Message(self.status).decode())


class Call:
  """A run of a model, with its inputs made once: for a clock around it.

  Args:
    model: a `Model`.
    feeds: array by the name of a tensor.
    fetches: names of tensors.
  """

  def __init__(
      self, model: Model, feeds: dict[str, np.ndarray], fetches: list[str]
  ):
    self._model, self._values, self._results = model, (), ()
    self._inputs = _outputs(model, feeds)
    self._outputs = _outputs(model, fetches)
    self._values = (ctypes.c_void_p * len(feeds))(
        *(_tensor(model.library, array) for array in feeds.values())
    )
    self._results = (ctypes.c_void_p * len(fetches))()

  def __call__(self) -> None:
    """Runs the model; its results replace the last ones."""
    self._delete(self._results)
    model = self._model
    model.library.TF_SessionRun(
        *(model.session, None),
        *(self._inputs, self._values, len(self._values)),
        *(self._outputs, self._results, len(self._results)),
        *(None, 0, None, model.status),
    )
    model.check()

  def arrays(self) -> list[np.ndarray]:
    """The last results."""
    return [_array(self._model.library, tensor) for tensor in self._results]

  def __del__(self):
    self._delete(self._results)
    self._delete(self._values)

  def _delete(self, tensors):
    for i, tensor in enumerate(tensors):
      if tensor:
        self._model.library.TF_DeleteTensor(tensor)
        tensors[i] = None


def _outputs(model, names):
  found = []
  for name in names:
    operation, _, index = name.partition(":")
    pointer = model.library.TF_GraphOperationByName(
        model.graph, operation.encode()
    )
    if pointer is None:
      raise RuntimeError(f"The SavedModel has no operation {operation}.")
    found.append(_Output(pointer, int(index)))
  return (_Output * len(found))(*found)
