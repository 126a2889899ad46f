"""Networks in `.keras` files."""

import json
import os
import pathlib
import zipfile

import keras

from pgates.training import model as model_lib


class NoGatedModel(ValueError):
  """A file holds a network of another kind."""


def load_model(path: str | os.PathLike) -> model_lib.GatedModel:
  """Loads a gated network, and says plainly what is wrong with its file.

  Args:
    path: of a `.keras` file.

  Returns:
    A `pgates.GatedModel`, not compiled.

  Raises:
    FileNotFoundError: if there is no such file.
    NoGatedModel: a ValueError, if it holds a network of another kind.
    ValueError: if it is damaged, or holds something else, such as layers of
      classes that are not known here.
  """
  model = load_any(path)
  if not isinstance(model, model_lib.GatedModel):
    raise NoGatedModel(
        f"{path} holds a {type(model).__name__}, and no pgates.GatedModel. "
        "Wrap it: pgates.GatedModel(inputs, pgates.gated_outputs(logits, "
        "gates, gate_logits))."
    )
  return model


def load_any(path: str | os.PathLike) -> keras.Model:
  """Loads a Keras network of any kind, as `load_model` does.

  Args:
    path: of a `.keras` file.

  Returns:
    A model, not compiled.

  Raises:
    FileNotFoundError: as of `load_model`.
    ValueError: as of `load_model`.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f"There is no {path}.")
  # What Keras raises then says neither.
  if path.suffix != ".keras" or not zipfile.is_zipfile(path):
    raise ValueError(f"{path} is damaged, or no .keras file.")
  try:
    _check_config(path)
    return keras.models.load_model(path, compile=False)
  except TypeError as error:  # Of a class that is not known, too.
    advice = ""
    if "Could not locate" in str(error):
      advice = (
          " Import the module that registers it first (programs: "
          "--import_modules=MODULE)."
      )
    raise ValueError(f"{path} cannot be loaded: {error}{advice}") from error
  except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
    raise ValueError(
        f"{path} is damaged, or no .keras file: {error}"
    ) from error


def _check_config(path):
  """Raises a TypeError where what describes the network describes none."""
  with zipfile.ZipFile(path) as archive:
    content = archive.read("config.json")
  try:
    config = json.loads(content)
  except ValueError as error:
    raise TypeError(f"its config.json is no JSON: {error}") from error
  if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
    raise TypeError(
        f"its config.json holds {content[:40].decode(errors='replace')!r}, and "
        "not an object that describes a network."
    )
