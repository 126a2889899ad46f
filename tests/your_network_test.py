"""Runs the lines of `docs/your_network.md`."""

import pathlib
import re

import keras
import numpy as np
import pytest

import pgates

_TEXT = (
    pathlib.Path(__file__).parent.parent / "docs" / "your_network.md"
).read_text("utf-8")


_CODE = re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL)


@pytest.mark.slow
def test_its_lines_do_what_it_says(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  rng = np.random.default_rng(0)
  found = {
      "images": rng.uniform(size=(16, 32, 32, 3)).astype("float32"),
      "labels": np.arange(16) % 10,
  }
  assert len(_CODE) == 5
  for block in _CODE[:-1]:
    exec(compile(block, "your_network.md", "exec"), found)  # noqa: S102
  printed = capsys.readouterr().out
  (shown,) = re.findall(r"\n\nprints\n\n((?: {4}.*\n)+)", _TEXT)
  assert "".join(line[4:] + "\n" for line in shown.splitlines()) in printed
  names = [block.name for block in pgates.gated_blocks(found["gated"])]
  assert names == [row.name for row in found["table"]][1:]
  assert found["outputs"]["gates"].shape == (16, 9)
  for name, value in found["again"].predict(found["images"]).items():
    np.testing.assert_allclose(
        value, found["outputs"][name], rtol=1e-3, atol=1e-4, err_msg=name
    )
  keras.backend.clear_session()


def test_its_table_is_of_the_network_it_names():
  """The counts, by hand: an inverted residual of 24 channels, 6 times wider."""
  (row,) = re.findall(r" block_2_add +identity +8 +([\d,]+) ", _TEXT)
  pixels, channels, wide = 8 * 8, 24, 144
  count = pixels * (2 * channels * wide + 9 * wide)
  assert int(row.replace(",", "")) == count


def test_the_blocks_of_own_code_train_and_skip():
  found = {}
  exec(compile(_CODE[-1], "your_network.md", "exec"), found)  # noqa: S102
  rng = np.random.default_rng(0)
  images = rng.normal(size=(16, 28, 28, 1)).astype("float32")
  model, fast = found["model"], found["fast"]
  before = [np.asarray(v) for v in model.trainable_variables]
  model.fit(images, np.arange(16) % 10, verbose=0)
  after = model.trainable_variables
  assert all(
      np.any(old != np.asarray(new))
      for old, new in zip(before, after, strict=True)
      if "bias" not in new.path
  )
  np.testing.assert_allclose(
      fast.predict(images, verbose=0)["logits"],
      model.predict(images, verbose=0)["logits"],
      rtol=1e-4,
      atol=1e-5,
  )
  keras.backend.clear_session()
