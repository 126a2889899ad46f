"""Tests of `file_io.artifacts`."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from file_io import artifacts

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_replacing_writes_the_file_with_its_folder(tmp_path):
  path = tmp_path / "new" / "model.keras"
  with artifacts.replacing(path) as temporary:
    # Keras tells its formats by the suffix; a rename needs one file system.
    assert temporary.suffix == ".keras"
    assert temporary.parent == path.parent
    temporary.write_text("weights")
    assert not path.exists()
  assert path.read_text() == "weights"
  assert list(path.parent.iterdir()) == [path]


def test_replaced_file_can_be_read_by_others(tmp_path):
  artifacts.write_json(tmp_path / "value.json", 1)
  assert (tmp_path / "value.json").stat().st_mode & 0o777 == 0o644


def test_text_is_utf_8_in_every_locale(tmp_path):
  page, lines = (str(tmp_path / name) for name in ("a.html", "b.jsonl"))
  (tmp_path / "b.jsonl").write_bytes(b'"\xc3\xbc"\n')
  program = f"""
from file_io import artifacts
artifacts.write_text({page!r}, "\\u2265 80 %")
(line,) = artifacts.read_json_lines({lines!r})
assert line == artifacts.read_json({lines!r}) == "\\xfc"
"""
  subprocess.run(
      [sys.executable, "-X", "utf8=0", "-c", program],
      check=True,
      cwd=ROOT,
      env=os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
  )
  assert (tmp_path / "a.html").read_bytes() == "\u2265 80 %".encode()


def test_failed_replacing_leaves_the_old_file_and_nothing_else(tmp_path):
  path = tmp_path / "value.txt"
  path.write_text("old")
  with pytest.raises(OSError, match="disk"):
    with artifacts.replacing(path) as temporary:
      temporary.write_text("half of the n")
      raise OSError("disk full")
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
  path = tmp_path / "value.txt"
  with artifacts.replacing(path) as first, artifacts.replacing(path) as second:
    assert first != second
    second.write_text("second")
    first.write_text("first")
  # The one that ends last stays, and it is whole.
  assert path.read_text() == "first"
  assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
  path, steps = tmp_path / "value.txt", []

  def fsync(handle):
    steps.append((os.fstat(handle).st_ino, path.exists()))

  monkeypatch.setattr(os, "fsync", fsync)
  artifacts.write_text(path, "value")
  assert steps == [(path.stat().st_ino, False)]
  assert path.read_text() == "value"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_number_that_is_not_json_is_refused_and_the_file_stays(
    tmp_path, number
):
  path = tmp_path / "value.json"
  artifacts.write_json(path, {"a": 1})
  with pytest.raises(ValueError, match="JSON"):
    artifacts.write_json(path, {"a": number})
  with pytest.raises(ValueError, match="JSON"):
    artifacts.write_json_lines(path, [{"a": 2}, {"a": number}])
  assert artifacts.read_json(path) == {"a": 1}


def test_json_comes_back_as_written(tmp_path):
  value = {"rates": [0.1, 1 / 3], "name": "a", "none": None}
  artifacts.write_json(tmp_path / "value.json", value)
  assert artifacts.read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize("text", ["", '{"a": 1', "\0\0\0"])
def test_damaged_json_is_an_error_that_names_the_file(tmp_path, text):
  path = tmp_path / "value.json"
  path.write_text(text)
  with pytest.raises(ValueError, match=f"{path} is not a whole JSON file"):
    artifacts.read_json(path)


def test_lines_are_json_each(tmp_path):
  path = tmp_path / "history.jsonl"
  values = [{"epoch": 1, "loss": 0.25}, {"epoch": 2, "loss": None}]
  artifacts.write_json_lines(path, values)
  assert [json.loads(line) for line in path.open()] == values
  assert artifacts.read_json_lines(path) == values


def test_absent_lines_are_none(tmp_path):
  assert artifacts.read_json_lines(tmp_path / "history.jsonl") == []


SHAPE = {
    "name": str,
    "rate": float,
    "any": object,
    "rows": [{"macs": int}],
    "of": {str: {"rate": float}},
}
FITS = {
    "name": "a",
    "rate": 1,
    "any": None,
    "rows": [{"macs": 1, "more": 2}],
    "of": {"map": {"rate": 0.5}},
    "more": [],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name is null, and not a text"),
        ({"rate": "0.5"}, 'rate is "0.5", and not a number'),
        ({"rate": True}, "rate is true, and not a number"),
        ({"rows": {}}, "rows is {}, and not a list"),
        ({"rows": [{"macs": 1}, []]}, "rows[1] is [], and not an object"),
        ({"rows": [{}]}, "rows[0].macs is missing"),
        ({"rows": [{"macs": 1.5}]}, "rows[0].macs is 1.5, and not a whole"),
        ({"of": {"map": 3}}, "of.map is 3, and not an object"),
        ({"of": [0] * 99}, "of is [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..., a"),
    ],
)
def test_json_of_another_shape_is_an_error_that_says_where(
    tmp_path, change, message
):
  path, lines = tmp_path / "value.json", tmp_path / "lines.jsonl"
  artifacts.write_json(path, FITS)
  assert artifacts.read_json(path, SHAPE, writer="a.program") == FITS
  wrong = {**FITS, **change}
  artifacts.write_json(path, wrong)
  message = f"is no file of a.program: {message}"
  with pytest.raises(ValueError, match=re.escape(f"{path} {message}")):
    artifacts.read_json(path, SHAPE, writer="a.program")
  artifacts.write_json_lines(lines, [FITS, wrong])
  message = f"{lines}, line 2, {message}"
  with pytest.raises(ValueError, match=re.escape(message)):
    artifacts.read_json_lines(lines, SHAPE, writer="a.program")


@pytest.mark.parametrize("text", ["[]", "null", "1", '"a"'])
def test_json_that_is_no_object_is_an_error_that_shows_it(tmp_path, text):
  path = tmp_path / "value.json"
  path.write_text(text)
  message = f"no file of a: it is {text}, and not an object"
  with pytest.raises(ValueError, match=re.escape(message)):
    artifacts.read_json(path, {"name": str}, writer="a")


def test_text_that_is_not_utf_8_names_its_file(tmp_path):
  path = tmp_path / "value.json"
  path.write_bytes(b'"\xfc"')
  with pytest.raises(ValueError, match=f"{path} is not a whole JSON"):
    artifacts.read_json(path)
  with pytest.raises(ValueError, match=f"{path} holds a line that is no JSON"):
    artifacts.read_json_lines(path)
