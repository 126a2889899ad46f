"""Runs the lines of `docs/your_network.md`."""

import contextlib
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import pgates

_ROOT = pathlib.Path(__file__).parent.parent
_TEXT = (_ROOT / "docs" / "your_network.md").read_text("utf-8")

# Of one session, but for what `tests/trainers/accelerate_test.py` runs.
_CODE = [
    code
    for code in re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL)
    if "faster/" not in code
]


@pytest.mark.slow
def test_its_lines_do_what_it_says(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  rng = np.random.default_rng(0)
  found = {
      "images": rng.uniform(size=(16, 32, 32, 3)).astype("float32"),
      "labels": np.arange(16) % 10,
  }
  assert len(_CODE) == 6
  for block in _CODE[:-1]:
    exec(compile(block, "your_network.md", "exec"), found)  # noqa: S102
  printed = capsys.readouterr().out
  (shown,) = re.findall(r"\n\nprints\n\n((?: {4}.*\n)+)", _TEXT)
  assert "".join(line[4:] + "\n" for line in shown.splitlines()) in printed
  names = [block.name for block in pgates.gated_blocks(found["gated"])]
  assert names == [row.name for row in found["table"]][1:]
  assert found["outputs"]["gates"].shape == (16, 9)
  assert printed.endswith("\nencoder_add\n")
  _assert_opened(found["encoder"], found["gated_encoder"])
  for name, value in found["again"].predict(found["images"]).items():
    np.testing.assert_allclose(
        value, found["outputs"][name], rtol=1e-3, atol=1e-4, err_msg=name
    )
  keras.backend.clear_session()


def _assert_opened(model, gated):
  tokens = np.random.default_rng(0).normal(size=(3, 8, 16))
  opened = pgates.with_strategy(gated, "always_open")(tokens)["logits"]
  np.testing.assert_array_equal(opened, model(tokens))
  closed = pgates.prune(gated, [0])(tokens)["logits"]
  np.testing.assert_array_equal(closed, np.float32(tokens))


def test_its_table_is_of_the_network_it_names():
  """The counts, by hand: an inverted residual of 24 channels, 6 times wider."""
  (row,) = re.findall(r" block_2_add +identity +8 +([\d,]+) ", _TEXT)
  pixels, channels, wide = 8 * 8, 24, 144
  count = pixels * (2 * channels * wide + 9 * wide)
  assert int(row.replace(",", "")) == count


@pytest.fixture(name="example", scope="module")
def _example(tmp_path_factory):
  """What the blocks of one's own code leave, run as printed."""
  found = {"folder": tmp_path_factory.mktemp("example")}
  keras.utils.set_random_seed(0)
  with contextlib.chdir(found["folder"]):
    exec(compile(_CODE[-1], "your_network.md", "exec"), found)  # noqa: S102
  yield found
  keras.backend.clear_session()


@pytest.mark.slow
def test_the_example_skips_and_stays_accurate(example):
  answer, labels = example["answer"], example["labels"][1500:]
  assert 0.5 <= answer["gates"].mean() <= 0.75
  assert np.mean(answer["logits"].argmax(-1) == labels) >= 0.93


@pytest.mark.slow
def test_the_example_answers_as_is_said(example):
  images, labels = example["images"][1500:], example["labels"][1500:]
  model, answer = example["model"], example["answer"]
  assert {name: value.shape for name, value in answer.items()} == {
      "logits": (297, 10),
      "gates": (297, 4),
      "gate_logits": (297, 4),
  }
  # MAP, by whichever model, and whichever function.
  np.testing.assert_array_equal(answer["gates"], answer["gate_logits"] > 0)
  again = pgates.load_model(example["folder"] / "digits.keras")
  for each in (model, again):
    for name, value in each.predict(images, verbose=0).items():
      np.testing.assert_allclose(answer[name], value, rtol=1e-3, atol=1e-3)
  logs = model.evaluate(images, labels, verbose=0, return_dict=True)
  assert logs["open_rate"] == pytest.approx(answer["gates"].mean(), abs=1e-6)
  correct = np.mean(answer["logits"].argmax(-1) == labels)
  assert logs["accuracy"] == pytest.approx(correct, abs=1e-6)
  losses = keras.losses.sparse_categorical_crossentropy(
      labels, answer["logits"], from_logits=True
  )
  assert logs["task_loss"] == pytest.approx(np.mean(losses), rel=1e-3)


@pytest.mark.slow
def test_keras_loads_the_example_once_pgates_is_imported(example):
  path = example["folder"] / "digits.keras"
  program = (
      "import sys, keras\n"
      "try: keras.models.load_model(sys.argv[1])\n"
      "except TypeError as error: print(error)\n"
      "import pgates\n"
      "print(type(keras.models.load_model(sys.argv[1])) is pgates.GatedModel)\n"
  )
  result = subprocess.run(
      [sys.executable, "-c", program, path],
      capture_output=True,
      check=True,
      cwd=_ROOT,
      text=True,
  )
  advice = "Could not locate class 'GatedModel'"
  readme = " ".join((_ROOT / "README.md").read_text("utf-8").split())
  assert advice in readme and result.stdout.startswith(advice)
  assert result.stdout.endswith("\nTrue\n")
