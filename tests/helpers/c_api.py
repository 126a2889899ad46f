"""Runs a SavedModel through TensorFlow's C API: the loader a server uses.

    python tests/helpers/c_api.py LIBRARIES MODEL REQUESTS.npz ANSWERS.npz

LIBRARIES is the folder of libtensorflow_cc. REQUESTS holds the arrays to feed
and to fetch, named `REQUEST/feed/TENSOR:0` and `REQUEST/fetch/TENSOR:0` (of the
latter only the name counts); bytes are strings. ANSWERS gets
`REQUEST/TENSOR:0`, or TensorFlow's message as `REQUEST/error`. No TensorFlow,
Keras or other Python of theirs is imported.
"""

import ctypes
import sys

import numpy as np

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

  Raises:
    RuntimeError: with TensorFlow's message.
  """

  def __init__(self, libraries, path):
    self._library = _library(libraries)
    self._graph = self._library.TF_NewGraph()
    self._status = self._library.TF_NewStatus()
    tags = (ctypes.c_char_p * 1)(b"serve")
    self._session = self._library.TF_LoadSessionFromSavedModel(
        self._library.TF_NewSessionOptions(),
        None,
        path.encode(),
        tags,
        1,
        self._graph,
        None,
        self._status,
    )
    self._check()

  def run(self, feeds, fetches):
    """Feeds arrays by tensor name and fetches others; raises as above."""
    inputs = (_Output * len(feeds))(*map(self._output, feeds))
    outputs = (_Output * len(fetches))(*map(self._output, fetches))
    values = (ctypes.c_void_p * len(feeds))(
        *(_tensor(self._library, array) for array in feeds.values())
    )
    results = (ctypes.c_void_p * len(fetches))()
    self._library.TF_SessionRun(
        self._session,
        None,
        inputs,
        values,
        len(feeds),
        outputs,
        results,
        len(fetches),
        None,
        0,
        None,
        self._status,
    )
    self._check()
    return [_array(self._library, tensor) for tensor in results]

  def _check(self):
    if self._library.TF_GetCode(self._status):
      raise RuntimeError(self._library.TF_Message(self._status).decode())

  def _output(self, name):
    operation, _, index = name.partition(":")
    found = self._library.TF_GraphOperationByName(
        self._graph, operation.encode()
    )
    return _Output(found, int(index))


def main(libraries, model, requests, answers):
  feeds, fetches = {}, {}
  with np.load(requests) as arrays:
    for key in arrays:
      name, kind, tensor = key.split("/", maxsplit=2)
      if kind == "feed":
        feeds.setdefault(name, {})[tensor] = arrays[key]
      else:
        fetches.setdefault(name, []).append(tensor)
  loaded, results = Model(libraries, model), {}
  for name, tensors in fetches.items():
    try:
      found = loaded.run(feeds[name], tensors)
    except RuntimeError as error:
      results[f"{name}/error"] = str(error)
    else:
      results |= {
          f"{name}/{tensor}": array
          for tensor, array in zip(tensors, found, strict=True)
      }
  assert not {"tensorflow", "keras", "pgates"} & set(sys.modules)
  np.savez(answers, **results)


if __name__ == "__main__":
  main(*sys.argv[1:])
