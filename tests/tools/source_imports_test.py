"""Tests of `tools/source_imports.py`."""

import pathlib

import pytest

from tools import source_imports

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
  for name in ("__init__.py", "gates.py", "layers/__init__.py"):
    path = tmp_path / "pgates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", "utf-8")
  return tmp_path


def _labels(tree, text):
  source = pathlib.PurePath("pgates/blocks.py")
  (tree / source).write_text(text, "utf-8")
  return source_imports.import_labels(tree, source)


def test_names_are_those_of_every_import():
  source = "import a.b\nfrom c import d, e\ndef f():\n  import g as h\n"
  assert source_imports.imported_names(source) == {
      ("a.b", ""),
      ("c", "d"),
      ("c", "e"),
      ("g", ""),
  }


@pytest.mark.parametrize(
    "text, labels",
    [
        ("import pgates\n", {"//pgates"}),
        ("from pgates import gates\n", {"//pgates:gates"}),
        ("from pgates.gates import Gate\n", {"//pgates:gates"}),
        ("from pgates import Gate, layers\n", {"//pgates", "//pgates/layers"}),
        ("import os.path\nfrom collections import abc\n", set()),
        ("import keras\n", {"@pypi//keras", "@pypi//tensorflow"}),
        ("from PIL import Image\n", {"@pypi//pillow"}),
        ("from google.protobuf import text_format\n", {"@pypi//protobuf"}),
    ],
)
def test_labels_are_of_files_and_installed_packages(tree, text, labels):
  assert _labels(tree, text) == labels


@pytest.mark.parametrize(
    "text, message",
    [
        ("import kerras\n", "blocks.py: imports 'kerras'"),
        ("from pgates.gatez import Gate\n", "import of 'Gate': pgates.gatez"),
        ("\nfrom . import gates\n", "line 2: relative import"),
    ],
)
def test_import_without_target_is_refused_by_name(tree, text, message):
  with pytest.raises(ValueError, match=message):
    _labels(tree, text)


def test_sources_are_the_files_of_our_packages(tree):
  (tree / "setup.py").write_text("", "utf-8")
  found = [source.as_posix() for source in source_imports.sources(tree)]
  names = ["__init__.py", "gates.py", "layers/__init__.py"]
  assert found == [f"pgates/{name}" for name in names]


def test_every_installed_name_is_a_direct_requirement():
  lines = [
      line
      for name in ("requirements.txt", "requirements_test.txt")
      for line in (ROOT / name).read_text("utf-8").splitlines()
  ]
  direct = {line.partition(">")[0] for line in lines if line[:1] != "#"}
  named = {
      name for names in source_imports.PIP_NAMES.values() for name in names
  }
  assert named <= direct
