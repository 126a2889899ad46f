"""Tests of `export.run`."""

import dataclasses
import errno
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export import descriptions
from export import exporting
from export import run
from export import variants
from export.checks import comparison
from export.checks import self_check
from export.decisions import auto_gating
from export.timing import costs as costs_lib
from export.timing import whole_times
from file_io import artifacts
import image_data
import pgates
from tests.helpers import damaged_images
from tests.helpers import gated_networks
from tests.helpers import result_shapes
from tests.helpers import server_loader
from tests.helpers import training_runs


def _export(**options):
  options = {"gating": ("dynamic",), **options}
  run.run(run.Options(**{n: _plain(value) for n, value in options.items()}))


def _plain(value):
  return str(value) if isinstance(value, pathlib.Path) else value


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_run):
  folder = tmp_path_factory.mktemp("exported")
  _export(
      workdir=tiny_run,
      output_dir=folder,
      name="digits",
      gating=("fixed", "dynamic"),
      format=("saved_model", "tflite"),
      num_examples=70,
      costs="macs",  # Nothing is timed.
  )
  return folder


def test_every_variant_is_written_and_described(exported, tiny_run):
  described = json.loads((exported / "export.json").read_text())
  paths = [row["path"] for row in described["variants"]]
  assert paths == [
      "digits_fixed/1",
      "digits_fixed.tflite",
      "digits_dynamic/1",
      "digits_dynamic.tflite",
  ]
  model = keras.models.load_model(tiny_run / "model.keras", compile=False)
  dynamic = described["variants"][2]
  assert dynamic["dense_macs"] == model.macs.dense
  assert dynamic["threshold"] == 0.5
  for row in described["variants"]:
    assert row["accuracy"] == row["keras_accuracy"]
    assert row["gate_agreement"] == 1
    assert row["largest_difference"] < 1e-4


def test_the_curve_lies_beside_a_model_that_takes_thresholds(exported):
  curve = json.loads((exported / "export.json").read_text())["threshold_curve"]
  assert len(curve) == 11
  for name, expected in (("dynamic", curve), ("fixed", [])):
    asset = exported / f"digits_{name}" / "1" / "assets" / "gates.json"
    assert json.loads(asset.read_text())["threshold_curve"] == expected


def test_accuracy_is_that_of_the_file_on_the_test_split(
    exported, tiny_run, data_dir
):
  loaded = tf.saved_model.load(str(exported / "digits_dynamic" / "1"))
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  batches = image_data.eval_batches(dataset, "test", batch_size=70)
  images, labels = next(iter(batches))
  classes = loaded.signatures["serving_default"](images=images)["classes"]
  described = json.loads((exported / "export.json").read_text())
  expected = float(np.mean(classes.numpy() == labels.numpy()))
  assert described["variants"][2]["accuracy"] == pytest.approx(expected)


def test_labels_warm_up_and_configuration_lie_beside(exported):
  version = exported / "digits_dynamic" / "1"
  labels = (version / "assets" / "labels.txt").read_text().split()
  assert labels == [str(i) for i in range(10)]
  assert (
      "max_batch_size { value: 32 }"
      in (version / "batching_params.pbtxt").read_text()
  )
  assert 'name: "digits_dynamic"' in (exported / "models.config").read_text()
  extra = version / "assets.extra" / "tf_serving_warmup_requests"
  assert len(list(tf.data.TFRecordDataset(str(extra)))) == 15


def test_keras_loads_the_saved_model_as_a_layer(exported):
  layer = keras.layers.TFSMLayer(
      str(exported / "digits_dynamic" / "1"), call_endpoint="serving_default"
  )
  answer = layer(np.zeros((2, 8, 8, 1), np.float32))
  assert answer["probabilities"].shape == (2, 10)


def test_the_loader_of_a_server_answers_as_keras(exported, tiny_run):
  model = keras.models.load_model(tiny_run / "model.keras", compile=False)
  images = gated_networks.images(5, (8, 8, 1))
  thresholds = np.array([0, 0.3, 0.5, 0.9, 1], np.float32)
  inputs = {"images": images, "threshold": thresholds}
  answer = server_loader.answers(
      exported / "digits_dynamic" / "1",
      {"five": ("serving_threshold", inputs)},
  )["five"]
  expected = pgates.with_threshold_input(model).predict_on_batch(
      {"images": images, "threshold": thresholds}
  )
  np.testing.assert_array_equal(answer["gates"], expected["gates"])
  np.testing.assert_array_equal(
      answer["executed_macs"], model.macs.executed(expected["gates"])
  )
  np.testing.assert_allclose(
      answer["probabilities"],
      tf.nn.softmax(expected["logits"]),
      rtol=1e-4,
      atol=1e-6,
  )


def test_warm_up_requests_run_and_open_every_branch(exported):
  version = exported / "digits_dynamic" / "1"
  loaded = tf.saved_model.load(str(version))
  extra = version / "assets.extra" / "tf_serving_warmup_requests"
  opened = []
  for record in tf.data.TFRecordDataset(str(extra)).as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    request = log.predict_log.request
    answer = loaded.signatures[request.model_spec.signature_name](
        **{
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
    )
    opened.append(answer["gates"].numpy().max(axis=0))
  assert np.all(np.max(opened, axis=0) == 1)


@pytest.mark.slow
def test_verify_only_passes_and_finds_a_damaged_export(exported, tiny_run):
  options = {
      "workdir": tiny_run,
      "output_dir": exported,
      "num_examples": 20,
      "verify_only": True,
  }
  _export(**options)
  path = exported / "digits_fixed.tflite"
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(comparison.CheckFailed, match="does not run"):
    _export(**options)
  path.write_bytes(whole)


def test_a_stage_that_fails_publishes_nothing_of_those_before(
    tmp_path, tiny_run, monkeypatch
):
  def export(variant, *unused, folder, name, **options):
    if variant.format == "tflite":
      raise OSError(errno.ENOSPC, "No space left on device")
    (folder / name).mkdir()
    report = self_check.Report(1, 0, 0.0, 1.0, 1.0)
    return folder / name, 1, report

  monkeypatch.setattr(exporting, "export_variant", export)
  (tmp_path / "export.json").write_text("old")
  with pytest.raises(OSError, match=f"No space on the disk of {tmp_path}"):
    _export(
        workdir=tiny_run,
        output_dir=tmp_path,
        gating=("fixed",),
        format=("saved_model", "tflite"),
        num_examples=10,
        costs="macs",
    )
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {"export.json", ".lock"}
  assert (tmp_path / "export.json").read_text() == "old"


@pytest.mark.slow
def test_a_users_network_is_exported_from_its_file(tmp_path, data_dir):
  images = keras.Input((8, 8, 1), name="images")
  x = keras.layers.Conv2D(4, 3, padding="same")(images)
  branch = keras.Sequential([keras.layers.Conv2D(4, 3, padding="same")])
  block = pgates.GatedResidual(branch, gate=pgates.DataDependentGate())
  x, gate, logit = block(x)
  x = keras.layers.GlobalAveragePooling2D()(x)
  outputs = pgates.gated_outputs(keras.layers.Dense(10)(x), [gate], [logit])
  model = gated_networks.randomize(pgates.GatedModel(images, outputs))
  model.save(tmp_path / "own.keras")
  options = {
      "model": tmp_path / "own.keras",
      "dataset": "digits",
      "data_dir": data_dir,
      "output_dir": tmp_path / "out",
      "format": ("tflite",),
      "num_examples": 40,
  }
  _export(**options)
  (row,) = json.loads((tmp_path / "out" / "export.json").read_text())[
      "variants"
  ]
  assert row["path"] == "model_dynamic.tflite"
  assert row["accuracy"] == row["keras_accuracy"]
  (tmp_path / "labels.txt").write_text("zero\none\n")
  with pytest.raises(ValueError, match="2 lines; digits has 10 classes"):
    _export(**options, labels=tmp_path / "labels.txt")


@pytest.mark.slow
def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path):
  damaged_images.store_folder(tmp_path / "data")
  inputs = keras.Input((8, 8, 3))
  branch = keras.layers.Conv2D(3, 3, padding="same")
  x, *decision = pgates.GatedResidual(branch, gate=pgates.DataDependentGate())(
      inputs
  )
  logits = keras.layers.GlobalAveragePooling2D()(x)
  decisions = [[each] for each in decision]
  model = pgates.GatedModel(inputs, pgates.gated_outputs(logits, *decisions))
  model.save(tmp_path / "model.keras")
  options = {
      "model": tmp_path / "model.keras",
      "image_folder": tmp_path / "data",
      "image_size": 8,
      "format": ("tflite",),
      "output_dir": tmp_path / "exported",
  }
  # Four in each split.
  with pytest.raises(ValueError, match="More than 11 examples cannot be read"):
    _export(**options, max_bad_examples=11)
  assert not (tmp_path / "exported" / "export.json").exists()
  _export(**options, max_bad_examples=12)
  described = json.loads((tmp_path / "exported" / "export.json").read_text())
  assert len(described["bad_examples"]) == 12
  assert {"03.jpg", "17.jpg", "18.jpg", "39.jpg"} == {
      pathlib.Path(name).name for name in described["bad_examples"]
  }


def test_names_say_the_gating_where_two_are_served():
  fixed, dynamic = (
      variants.Variant(g, "saved_model") for g in ("fixed", "dynamic")
  )
  file = variants.Variant("fixed", "tflite", "int8")
  assert run.name_of("a", fixed, [fixed, file]) == "a"
  assert run.name_of("a", fixed, [fixed, dynamic]) == "a_fixed"
  assert run.name_of("a", dynamic, [fixed, dynamic]) == "a_dynamic"
  assert run.name_of("a", file, [fixed, file]) == "a_fixed_int8.tflite"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workdir": "/no/where"}, "There is no"),
        ({"workdir": "x", "strategy": "prune:0.5"}, "does not go with"),
        ({"workdir": "x", "gating": ("both",)}, "takes names out of"),
        ({"workdir": "x", "strategy": "mapp"}, "Expected a strategy"),
        ({"workdir": "x", "max_accuracy_drop": float("nan")}, "Received: nan"),
    ],
)
def test_bad_options_are_refused_before_any_work(tmp_path, options, message):
  with pytest.raises((ValueError, OSError), match=message):
    _export(output_dir=tmp_path / "out", **options)
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "settled"}, "settled settles gates.*has none"),
        ({"costs": "COSTS"}, "holds the costs of another network"),
        ({"costs": "NONE"}, "There is no file"),
        ({"reference": "GATED"}, "--reference is a run without gates"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_before_any_work(
    tmp_path, tiny_run, plain_run, monkeypatch, options, message
):
  monkeypatch.setattr(run, "export_all", None)
  other = pgates.CifarResNet(14)
  value = costs_lib.from_macs(other).as_json(costs_lib.fingerprint(other))
  artifacts.write_json(tmp_path / "costs.json", value)
  places = {
      "COSTS": tmp_path / "costs.json",
      "NONE": tmp_path / "none.json",
      "GATED": tiny_run,
  }
  options = {name: places.get(value, value) for name, value in options.items()}
  workdir = plain_run if "strategy" in options else tiny_run
  with pytest.raises((ValueError, OSError), match=message):
    _export(
        workdir=workdir,
        output_dir=tmp_path / "out",
        gating=("auto",),
        **options,
    )
  assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory, data_dir):
  """As a finished run without gates leaves it, untrained."""
  folder = tmp_path_factory.mktemp("plain")
  config = training_runs.config(
      *(*training_runs.TINY, f"--data_dir={data_dir}", "--gate=none")
  )
  artifacts.write_json(
      folder / "config.json", {"settings": dataclasses.asdict(config)}
  )
  network = pgates.CifarResNet(8, input_shape=(8, 8, 1), gate="none")
  network.save(folder / "model.keras")
  return folder


@pytest.fixture(scope="module", name="auto")
def _auto(tmp_path_factory, tiny_run, plain_run):
  folder = tmp_path_factory.mktemp("auto")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(whole_times, "ROUNDS", (2, 4))
    _export(
        workdir=tiny_run,
        reference=plain_run,
        output_dir=folder,
        name="digits",
        gating=("auto", "fixed"),
        format=("saved_model", "tflite"),
        num_examples=70,
        keep_probes=folder / "probes",
    )
  return folder


@pytest.mark.slow
def test_gates_are_chosen_for_each_format_and_the_choice_explained(auto):
  described = json.loads((auto / "export.json").read_text())
  rows = {(r["gating"], r["format"]): r for r in described["variants"]}
  assert len(rows) == 4
  for format in ("saved_model", "tflite"):
    chosen = rows["auto", format]["auto"]
    assert len(chosen["decisions"]) == len(chosen["table"]) == 3
    for row, decision in zip(chosen["table"], chosen["decisions"], strict=True):
      assert row["decision"] == decision
      assert row["branch"] >= 0 and row["gate"] >= 0
    assert chosen["unit"] == "us" and chosen["outcome"]
    assert rows["auto", format]["gate_agreement"] == 1
  asset = auto / "digits_auto" / "1" / "assets" / "gates.json"
  chosen = rows["auto", "saved_model"]["auto"]
  assert json.loads(asset.read_text())["auto"] == chosen


@pytest.mark.slow
def test_the_committed_description_has_what_is_written_today(auto):
  ours = json.loads((auto / "export.json").read_text())
  theirs = result_shapes.committed("demo_export.json")
  assert ours.keys() == theirs.keys()
  for name in ("variants", "references"):
    first, *others = (
        {key for row in each[name] for key in row} for each in (ours, theirs)
    )
    assert others == [first]
  # What the choice holds depends on what pays; not that it is told.
  told = {"decisions", "table", "unit", "batch_size", "time_ratios", "outcome"}
  for each in (ours, theirs):
    for row in each["variants"]:
      assert row["gating"] != "auto" or told <= row["auto"].keys()


@pytest.mark.slow
def test_every_file_is_timed_beside_networks_without_gates(auto, capsys):
  described = json.loads((auto / "export.json").read_text())
  for row in described["variants"]:
    assert row["time_ratio"] > 0
  references = described["references"]
  assert [(row["gating"], row["format"]) for row in references] == [
      (gating, format)
      for format in ("saved_model", "tflite")
      for gating in ("ungated", "all_open")
  ]
  for row in references:
    assert (row["time_ratio"] == 1) == (row["gating"] == "ungated")
    assert row["macs"] >= row["dense_macs"] > 0 and row["bytes"] > 0
  assert {*described["limits"]} == {"saved_model", "tflite"}
  descriptions.print_table(described)
  lines = capsys.readouterr().out.splitlines()[1:]
  assert [line.split("  ")[0] for line in lines[:8]] == [
      f"{format} {gating}"
      for format in ("saved_model", "tflite")
      for gating in ("ungated", "all open", "auto", "fixed")
  ]
  assert lines[-1] == "time: of that of `ungated`, same format, in one run."


@pytest.mark.slow
def test_reference_is_the_network_of_its_run(auto, plain_run, data_dir):
  """Not the gated one with its gates opened."""
  rows = json.loads((auto / "export.json").read_text())["references"]
  model = pgates.load_model(plain_run / "model.keras")
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  batches = image_data.eval_batches(dataset, "test", batch_size=70)
  images, labels = next(iter(batches))
  classes = model.predict(images, verbose=0)["logits"].argmax(-1)
  assert rows[0]["accuracy"] == np.mean(classes == labels.numpy())
  assert rows[0]["macs"] == model.macs.dense < rows[1]["macs"] * 1.001


@pytest.mark.slow
def test_chosen_gates_are_checked_again_without_measuring(
    auto, tiny_run, monkeypatch
):
  monkeypatch.setattr(auto_gating, "choose", None)
  _export(
      workdir=tiny_run,
      output_dir=auto,
      name="digits",
      verify_only=True,
      num_examples=70,
  )


@pytest.mark.slow
def test_costs_of_another_machine_choose_as_those_of_this_one(
    auto, tiny_run, tmp_path
):
  costs = tmp_path / "costs.json"
  environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
  printed = subprocess.run(
      [
          *(sys.executable, "-m", "export.measure_costs", "--repeats=2"),
          *(f"--probes={auto / 'probes' / 'tflite'}", f"--output={costs}"),
      ],
      capture_output=True,
      check=True,
      env=environment,
      text=True,
  ).stdout
  assert f"Wrote {costs}." in printed and "stage1_block0" in printed
  options = {"workdir": tiny_run, "gating": ("auto",), "costs": costs}
  _export(
      output_dir=tmp_path / "out",
      format=("tflite",),
      num_examples=70,
      **options,
  )
  described = json.loads((tmp_path / "out" / "export.json").read_text())
  (row,) = described["variants"]
  measured = json.loads(costs.read_text())["blocks"]
  assert [r["branch"] for r in row["auto"]["table"]] == [
      block["branch"] for block in measured
  ]
  assert "time_ratio" not in row and described["references"] == []
  with pytest.raises(ValueError, match="measured in the format tflite"):
    _export(output_dir=tmp_path / "other", num_examples=70, **options)
