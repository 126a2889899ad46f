"""Tests of `benchmarks.drawing`."""

import json

from absl import app
import pytest

from benchmarks import drawing


def _draw(result):
  figure, axes = drawing.panels(2, width=1.5)
  axes[1].plot(result["values"])
  return figure


def test_panels_lie_side_by_side_and_share_an_axis():
  figure, axes = drawing.panels(3, width=2.0)
  assert tuple(figure.get_size_inches()) == (6.0, 3.4)
  assert len(axes) == 3
  axes[2].set_ylim(0, 7)
  assert axes[0].get_ylim() == (0, 7)


def test_the_same_json_is_the_same_file(tmp_path):
  (tmp_path / "result.json").write_text(json.dumps({"values": [1, 3, 2]}))
  for name in ("one.svg", "other.svg"):
    argv = ["program", str(tmp_path / "result.json"), str(tmp_path / name)]
    drawing.write(argv, _draw, salt="salt")
  first, second = (
      (tmp_path / n).read_bytes() for n in ("one.svg", "other.svg")
  )
  assert first == second and b"<svg" in first


def test_command_line_without_an_image_is_refused():
  with pytest.raises(app.UsageError, match="the image to write"):
    drawing.write(["program", "result.json"], _draw, salt="salt")
