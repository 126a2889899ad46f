"""Tests of `export.saved_model.saved_models`."""

import threading

from google.protobuf import text_format
import pytest
import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from export.saved_model import saved_models
from export.saved_model import serving
import pgates
from tests.helpers import gated_networks


def _whole(folder, text="whole"):
  folder.mkdir(parents=True)
  (folder / "saved_model.pb").write_text(text)
  return folder


def _publish(base):
  return saved_models.publish(_whole(base.parent / ".staged"), base)


def test_versions_rise(tmp_path):
  base = tmp_path / "digits"
  assert [_publish(base) for _ in range(3)] == [1, 2, 3]
  (base / "7").mkdir()
  assert _publish(base) == 8
  assert (base / "8" / "saved_model.pb").read_text() == "whole"
  assert saved_models.existing_versions(base) == [1, 2, 3, 7, 8]


def test_exports_at_once_get_versions_of_their_own(tmp_path):
  base = tmp_path / "digits"
  barrier, found = threading.Barrier(6), []

  def export(i):
    path = _whole(tmp_path / str(i), str(i))
    barrier.wait()
    number = saved_models.publish(path, base)
    found.append(
        (number, (base / f"{number}/saved_model.pb").read_text() == str(i))
    )

  threads = [threading.Thread(target=export, args=(i,)) for i in range(6)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sorted(found) == [(i, True) for i in range(1, 7)]


def test_models_config_names_every_model(tmp_path):
  tmp_path /= 'a "quoted" folder'
  for name in ("digits_fixed", "digits_dynamic"):
    _publish(tmp_path / name)
  (tmp_path / "not_a_model").mkdir()
  text = saved_models.write_models_config(tmp_path).read_text()
  config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
  assert [
      (model.name, model.base_path, model.model_platform)
      for model in config.model_config_list.config
  ] == [
      (name, str(tmp_path / name), "tensorflow")
      for name in ("digits_dynamic", "digits_fixed")
  ]


def test_a_folder_weighs_at_most_a_tenth_more_than_its_weights(tmp_path):
  model = gated_networks.randomize(
      pgates.CifarResNet(14, input_shape=(8, 8, 1))
  )
  (tmp_path / "asset").write_text("{}")
  server = serving.Server(
      model, "map", labels=tmp_path / "asset", gates=tmp_path / "asset"
  )
  path = tmp_path / "model"
  saved_models.write(server, path, name="cifar")
  whole = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
  weights = 4 * model.count_params()
  # Of any network, 32 kB read images: headers, EXIF and palettes.
  assert 700_000 < weights < whole < 1.1 * weights + 32_000


def _save(function, folder):
  module = tf.Module()
  module.run = tf.function(function, input_signature=[tf.TensorSpec([None])])
  tf.saved_model.save(module, str(folder), signatures=module.run)
  return folder


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x + tf.random.uniform([]), "RandomUniform"),
        (lambda x: tf.numpy_function(abs, [x], tf.float32), "PyFunc"),
    ],
)
def test_operations_that_must_not_be_served_are_found(tmp_path, function, name):
  path = _save(function, tmp_path / "model")
  with pytest.raises(ValueError, match=name):
    saved_models.check_operations(path, pgates.parse_strategy("map"))


def test_random_strategies_may_draw(tmp_path):
  path = _save(lambda x: x + tf.random.uniform([]), tmp_path / "model")
  saved_models.check_operations(path, pgates.parse_strategy("sampled"))
  saved_models.check_operations(path, pgates.parse_strategy("ensemble:3"))
