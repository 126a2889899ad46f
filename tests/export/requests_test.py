"""Tests of the requests to a server that docs/export.md shows."""

import base64
import contextlib
import json
import pathlib
import re
import subprocess

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import pgates
from tests.helpers import served_models
from tests.helpers import server_loader

_DOCS = pathlib.Path(__file__).parents[2] / "docs" / "export.md"
_NAME = "digits_dynamic"
_DEFAULTS = np.array([0.5, 0.5], np.float32)


def _blocks(heading, language):
  """The blocks of code under a heading of the documentation."""
  _, text = re.split(rf"^#+ {heading}$", _DOCS.read_text(), flags=re.MULTILINE)
  text = re.split(r"^#+ \w+$", text, flags=re.MULTILINE)[0]
  return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def model():
  return served_models.network()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
  return served_models.export(model, tmp_path_factory.mktemp("served"), _NAME)


@pytest.fixture(scope="module")
def loaded(exported):
  return tf.saved_model.load(str(exported / _NAME / "1"))


def _images(inputs):
  """What a request shows, as float32, in whatever form."""
  if "images" in inputs:
    return np.asarray(inputs["images"], np.float32)
  decoded = [tf.io.decode_image(data) for data in inputs["image_bytes"].flat]
  return np.stack(decoded).astype(np.float32)


def _check_answer(answer, inputs, model):
  images = _images(inputs)
  thresholds = inputs.get("threshold", _DEFAULTS)
  expected = pgates.with_threshold_input(model).predict_on_batch(
      {"images": images, "threshold": thresholds}
  )
  probabilities = tf.nn.softmax(expected["logits"])
  np.testing.assert_array_equal(answer["gates"], expected["gates"])
  np.testing.assert_allclose(
      answer["probabilities"], probabilities, rtol=1e-4, atol=1e-6
  )
  np.testing.assert_array_equal(
      answer["classes"], probabilities.numpy().argmax(axis=-1)
  )
  np.testing.assert_array_equal(
      answer["executed_macs"], model.macs.executed(expected["gates"])
  )


def _check_inputs(inputs, definition):
  """Whether a request has what a signature says: names, types and shapes."""
  assert inputs.keys() == definition.inputs.keys()
  for name, info in definition.inputs.items():
    assert tf.as_dtype(inputs[name].dtype) == tf.as_dtype(info.dtype)
    shape = tf.TensorShape(info.tensor_shape)
    assert shape.rank == inputs[name].ndim
    assert shape.is_compatible_with(inputs[name].shape)


def _commands(script, folder, *programs):
  """Runs a script with functions in the place of programs.

  Returns:
    A list of command lines, as lists.
  """
  stubs = "".join(
      f"{name}() {{ printf '%s\\n' {name} \"$@\" ''; }}\n" for name in programs
  )
  done = subprocess.run(
      ["bash", "-euc", stubs + script],
      cwd=folder,
      capture_output=True,
      text=True,
      check=True,
  )
  return [line.split("\n") for line in done.stdout.strip().split("\n\n")]


def test_the_documented_server_finds_the_models(exported):
  scripts = _blocks("Serving", "bash")
  assert len(scripts) == 2
  for script in scripts:
    programs = ("docker", "tensorflow_model_server")
    (command,) = _commands(script, exported.parent, *programs)
    flags = dict(
        re.fullmatch(r"--(\w+)=?(.*)", argument).groups()
        for argument in command
        if re.match(r"--\w+(_|=)", argument)
    )
    configuration = exported / "models.config"
    assert pathlib.Path(flags.pop("model_config_file")).samefile(configuration)
    assert pathlib.Path(flags.pop("batching_parameters_file")).is_file()
    assert flags.pop("enable_batching") == ""
    (base,) = re.findall('base_path: "(.*)"', configuration.read_text())
    if command[0] == "docker":
      assert not flags and command.count("-p") == 2
      outside, inside, _ = command[command.index("-v") + 1].split(":")
      assert outside == inside and pathlib.Path(base).is_relative_to(inside)
    else:
      assert flags == {"port": "8500", "rest_api_port": "8501"}
    assert pathlib.Path(base, "1", "saved_model.pb").is_file()


def _columns(body, definition):
  """JSON by input, as TensorFlow Serving's `json_tensor.cc` reads a body."""
  names = [*definition.inputs]
  rows, columns = body.get("instances"), body.get("inputs")
  assert (rows is None) != (columns is None)
  assert body.keys() <= {"signature_name", "instances", "inputs"}
  if columns is not None:
    return columns if isinstance(columns, dict) else {names[0]: columns}
  if isinstance(rows[0], dict) and rows[0].keys() != {"b64"}:
    return {name: [row[name] for row in rows] for name in names}
  assert len(names) == 1
  return {names[0]: rows}


def _array(value, dtype):
  if dtype == tf.string:
    return np.array([base64.b64decode(item["b64"]) for item in value], object)
  array = np.array(value)
  # It refuses a number with a point where integers are due.
  assert array.dtype.kind == "i" or not dtype.is_integer
  return array.astype(dtype.as_numpy_dtype)


def test_documented_rest_requests_are_answered_as_by_keras(
    model, exported, loaded, tmp_path
):
  definitions = server_loader.definitions(exported / _NAME / "1")
  (program,), (script,) = _blocks("REST", "python"), _blocks("REST", "bash")
  found = {}
  with contextlib.chdir(tmp_path):
    exec(compile(program, _DOCS, "exec"), found)  # noqa: S102
  seen = set()
  for _, option, body, url in _commands(script, tmp_path, "curl"):
    assert option == "-d" and body[0] == "@"
    assert url == f"http://localhost:8501/v1/models/{_NAME}:predict"
    request = json.loads((tmp_path / body[1:]).read_text())
    signature = request.get("signature_name", "serving_default")
    definition = definitions[signature]
    inputs = {
        name: _array(value, tf.as_dtype(definition.inputs[name].dtype))
        for name, value in _columns(request, definition).items()
    }
    _check_inputs(inputs, definition)
    np.testing.assert_array_equal(_images(inputs), found["images"])
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    _check_answer(loaded.signatures[signature](**tensors), inputs, model)
    seen.add((signature, "inputs" in request))
  assert {signature for signature, _ in seen} == {*definitions}
  assert {columnar for _, columnar in seen} == {False, True}


class _Channel(contextlib.AbstractContextManager):
  """A server at the other end, but for the wire."""

  def __init__(self, loaded):
    self.requests = []
    self._loaded = loaded

  def __exit__(self, *_):
    pass

  def unary_unary(self, method, request_serializer, response_deserializer, **_):
    def predict(request, timeout):
      assert method == "/tensorflow.serving.PredictionService/Predict"
      assert timeout > 0
      self.requests.append(request_serializer(request))
      received = predict_pb2.PredictRequest.FromString(self.requests[-1])
      return response_deserializer(self._predict(received).SerializeToString())

    return predict

  def _predict(self, request):
    signature = self._loaded.signatures[request.model_spec.signature_name]
    inputs = {
        name: tf.constant(value) for name, value in _arrays(request).items()
    }
    response = predict_pb2.PredictResponse()
    for name, value in signature(**inputs).items():
      response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


def _arrays(request):
  return {
      name: tf.make_ndarray(value) for name, value in request.inputs.items()
  }


def test_documented_grpc_requests_are_answered_as_by_keras(
    model, exported, loaded, monkeypatch, capsys
):
  channel = _Channel(loaded)
  monkeypatch.setattr(
      grpc, "insecure_channel", {"localhost:8500": channel}.__getitem__
  )
  (program,) = _blocks("gRPC", "python")
  found = {}
  exec(compile(program, _DOCS, "exec"), found)  # noqa: S102
  definitions = server_loader.definitions(exported / _NAME / "1")
  requests = {}
  for sent in channel.requests:
    request = predict_pb2.PredictRequest.FromString(sent)
    assert request.model_spec.name == _NAME
    signature, inputs = request.model_spec.signature_name, _arrays(request)
    _check_inputs(inputs, definitions[signature])
    np.testing.assert_array_equal(_images(inputs), found["images"])
    requests[signature] = (signature, inputs)
  assert requests.keys() == definitions.keys()
  answers = server_loader.answers(exported / _NAME / "1", requests)
  printed = capsys.readouterr().out.splitlines()
  for (signature, (_, inputs)), line in zip(
      requests.items(), printed, strict=True
  ):
    answer = answers[signature]
    _check_answer(answer, inputs, model)
    assert line == f"{answer['classes']} {answer['executed_macs']}"
