"""Runs a SavedModel through TensorFlow's C API: the loader a server uses.

    python tests/c_api.py LIBRARIES MODEL REQUEST.npz ANSWER.npz

LIBRARIES is the folder of libtensorflow_cc. REQUEST holds the arrays to feed
and to fetch, named `feed/TENSOR:0` and `fetch/TENSOR:0` (the latter's type and
nothing else counts). No TensorFlow, Keras or other Python of theirs is
imported.
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
  array = np.ascontiguousarray(array)
  shape = (ctypes.c_int64 * array.ndim)(*array.shape)
  tensor = library.TF_AllocateTensor(
      _TYPES[array.dtype], shape, array.ndim, array.nbytes
  )
  ctypes.memmove(library.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
  return tensor


def _array(library, tensor):
  rank = library.TF_NumDims(tensor)
  shape = [library.TF_Dim(tensor, i) for i in range(rank)]
  array = np.empty(shape, _DTYPES[library.TF_TensorType(tensor)])
  ctypes.memmove(array.ctypes.data, library.TF_TensorData(tensor), array.nbytes)
  return array


def run(libraries, model, feeds, fetches):
  """Feeds arrays by tensor name and fetches others.

  Raises:
    RuntimeError: with TensorFlow's message.
  """
  library = _library(libraries)
  status = library.TF_NewStatus()

  def check():
    if library.TF_GetCode(status):
      raise RuntimeError(library.TF_Message(status).decode())

  graph = library.TF_NewGraph()
  tags = (ctypes.c_char_p * 1)(b"serve")
  session = library.TF_LoadSessionFromSavedModel(
      library.TF_NewSessionOptions(),
      None,
      model.encode(),
      tags,
      1,
      graph,
      None,
      status,
  )
  check()

  def output(name):
    operation, _, index = name.partition(":")
    found = library.TF_GraphOperationByName(graph, operation.encode())
    return _Output(found, int(index))

  inputs = (_Output * len(feeds))(*map(output, feeds))
  outputs = (_Output * len(fetches))(*map(output, fetches))
  values = (ctypes.c_void_p * len(feeds))(
      *(_tensor(library, array) for array in feeds.values())
  )
  results = (ctypes.c_void_p * len(fetches))()
  library.TF_SessionRun(
      session,
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
      status,
  )
  check()
  return [_array(library, tensor) for tensor in results]


def main(libraries, model, request, answer):
  with np.load(request) as arrays:
    feeds = {k[5:]: arrays[k] for k in arrays if k.startswith("feed/")}
    fetches = [k[6:] for k in arrays if k.startswith("fetch/")]
  results = run(libraries, model, feeds, fetches)
  assert not {"tensorflow", "keras", "pgates"} & set(sys.modules)
  np.savez(answer, **dict(zip(fetches, results, strict=True)))


if __name__ == "__main__":
  main(*sys.argv[1:])
