"""Tests of `export.timing.lite_engine`."""

import os

from ai_edge_litert import interpreter as litert
import numpy as np
import pytest

from export.tflite import conversion
from export.timing import lite_engine
from tests.helpers import gated_networks


@pytest.fixture(name="file", scope="module")
def _file(tmp_path_factory):
  path = tmp_path_factory.mktemp("tflite") / "model.tflite"
  path.write_bytes(conversion.convert(gated_networks.resnet(), dynamic=True))
  return path


@pytest.mark.parametrize("threads", [None, 1])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_file_is_run_on_the_images_at_the_threshold(
    file, threshold, threads, monkeypatch
):
  made = []

  class Interpreter(litert.Interpreter):

    def __init__(self, **kwargs):
      made.append((self, kwargs["num_threads"]))
      super().__init__(**kwargs)

  monkeypatch.setattr(litert, "Interpreter", Interpreter)
  images = gated_networks.images(1)
  run = lite_engine.load(file, threshold=threshold, num_threads=threads)
  assert run(images) is None
  ((interpreter, num_threads),) = made
  assert num_threads == (threads or os.cpu_count())
  answers = [
      interpreter.get_tensor(detail["index"])
      for detail in interpreter.get_output_details()
  ]
  # All gates are above probability 0, and none is above 1.
  (gates,) = [answer for answer in answers if answer.shape == (1, 3)]
  assert gates.tolist() == [[1.0 - threshold] * 3]
  runner = Interpreter(
      model_path=str(file), num_threads=1
  ).get_signature_runner()
  expected = runner(images=images, threshold=np.float32(threshold))
  (probabilities,) = [each for each in answers if each.shape == (1, 10)]
  np.testing.assert_allclose(
      probabilities, expected["probabilities"], rtol=1e-4, atol=1e-6
  )
