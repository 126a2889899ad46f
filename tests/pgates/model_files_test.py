"""Tests of `pgates.model_files`."""

import zipfile

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import gated_networks


@pytest.fixture(name="stored", scope="module")
def fixture_stored(tmp_path_factory):
  path = tmp_path_factory.mktemp("model") / "model.keras"
  model = gated_networks.randomize(gated_networks.resnet())
  model.save(path)
  return model, path


def test_network_is_loaded_as_it_was_stored(stored):
  model, path = stored
  loaded = pgates.load_model(str(path))
  images = gated_networks.images()
  assert not loaded.compiled
  np.testing.assert_array_equal(
      loaded(images)["logits"], model(images)["logits"]
  )


def _flipped(content):
  middle = len(content) // 2
  return (
      content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
  )


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        _flipped,
        lambda content: b"",
        lambda content: b"not a network",
    ],
    ids=["cut", "flipped", "empty", "text"],
)
def test_damaged_file_is_said_to_be_one(stored, damage, tmp_path):
  path = tmp_path / "damaged.keras"
  path.write_bytes(damage(stored[1].read_bytes()))
  with pytest.raises(ValueError, match=f"{path} is damaged, or no .keras file"):
    pgates.load_model(path)


def test_other_archive_is_said_to_be_none(tmp_path):
  path = tmp_path / "arrays.keras"
  with path.open("wb") as file:
    np.savez(file, a=np.ones(2))
  for name in ("arrays.keras", "arrays.npz"):
    path = path.rename(tmp_path / name)
    with pytest.raises(ValueError, match="is damaged, or no .keras file"):
      pgates.load_model(path)


def test_network_of_another_kind_is_refused(tmp_path):
  inputs = keras.Input((3,))
  keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "m.keras")
  with pytest.raises(ValueError, match=r"holds a Functional.*Wrap it: pgates"):
    pgates.load_model(tmp_path / "m.keras")


def test_missing_file_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="There is no .*m.keras"):
    pgates.load_model(tmp_path / "m.keras")


@pytest.mark.parametrize("text", ["[]", "null", '"a"', '{"config": 1}', "{"])
def test_file_whose_config_is_of_no_network_is_named(stored, text, tmp_path):
  path = tmp_path / "other.keras"
  with zipfile.ZipFile(stored[1]) as old, zipfile.ZipFile(path, "w") as new:
    for name in old.namelist():
      content = text if name == "config.json" else old.read(name)
      new.writestr(name, content)
  with pytest.raises(ValueError, match=f"{path} cannot be loaded: its config"):
    pgates.load_model(path)


@keras.saving.register_keras_serializable("model_files_test")
class _Own(keras.layers.Layer):

  def call(self, inputs):
    return inputs


def test_file_of_a_class_that_is_not_known_is_named(tmp_path, monkeypatch):
  inputs = keras.Input((3,))
  path = tmp_path / "own.keras"
  keras.Model(inputs, _Own(name="own")(inputs)).save(path)
  registered = keras.saving.get_custom_objects()
  monkeypatch.delitem(registered, "model_files_test>_Own")
  monkeypatch.delitem(globals(), "_Own")
  with pytest.raises(ValueError, match=f"(?s){path} cannot be loaded: .*_Own"):
    pgates.load_model(path)
