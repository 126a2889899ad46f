"""Holds the rule of which of our packages and modules may import which."""

import graphlib
import pathlib

import pytest

from tools import source_imports

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each package may import of ours, besides itself.
ALLOWED = {
    "benchmarks": {*source_imports.PACKAGES} - {"tests", "tools"},
    "export": {"file_io", "image_data", "pgates", "run_data"},
    "file_io": set(),
    "image_data": set(),
    "pgates": set(),
    "run_data": {"file_io", "image_data"},
    "tests": {*source_imports.PACKAGES},
    "tools": set(),
    "trainers": {"file_io", "image_data", "pgates", "run_data"},
}

# What each room may import of the other rooms of its package; a room without an
# entry may import all of them. What lies beside the rooms is told by its file.
ROOMS = {
    "pgates/layers": set(),
    "pgates/costs": {"pgates/layers", "pgates:graphs"},
    "pgates:graphs": {"pgates/layers"},
    "pgates/training": {"pgates/layers", "pgates/costs", "pgates:graphs"},
    "pgates/inference": {
        *("pgates/layers", "pgates/costs", "pgates/training"),
        *("pgates:graphs", "pgates:renames"),
    },
    "pgates/networks": {
        *("pgates/layers", "pgates/costs", "pgates/training"),
        *("pgates/residuals", "pgates:graphs", "pgates:model_files"),
    },
    "pgates/residuals": {
        *("pgates/layers", "pgates/costs", "pgates/training"),
        "pgates:graphs",
    },
    "pgates:model_files": {"pgates/training"},
    "trainers/settings": set(),
    "trainers/training": {"trainers/settings"},
    "trainers/evaluation": {"trainers/settings", "trainers/training"},
    "trainers/comparison": {
        *("trainers/settings", "trainers/training", "trainers/evaluation"),
        "trainers:children",
    },
    "trainers:children": set(),
    "trainers/acceleration": {"trainers/settings", "trainers:children"},
    "trainers/reporting": {
        *("trainers/settings", "trainers/training", "trainers/evaluation"),
        "trainers/comparison",
    },
    "export/transforms": set(),
    "export/saved_model": {"export/transforms"},
    "export/tflite": {"export/transforms", "export/saved_model"},
    "export/timing": {
        *("export/transforms", "export/saved_model", "export/tflite"),
    },
    "export/decisions": {"export/timing", "export:variants"},
    "export/checks": {"export/decisions", "export:variants"},
    "export/inputs": {"export/transforms", "export/checks"},
}


def import_graph(root):
  """Which sources of ours each of our sources imports, as labels."""
  return {
      source_imports.label(source): {
          label
          for label in source_imports.import_labels(root, source)
          if label.startswith("//")
      }
      for source in source_imports.sources(root)
  }


def _package(label):
  return label.removeprefix("//").partition(":")[0].partition("/")[0]


def _room(label):
  """`pgates/layers` of `//pgates/layers:gates`; `pgates:graphs` of a file."""
  folder, colon, name = label.removeprefix("//").partition(":")
  if "/" in folder or not colon:
    return folder
  return f"{folder}:{name}"


def violations(graph):
  """Describes every import, or chain of them, that goes the wrong way."""
  found = []
  for label, imported_labels in graph.items():
    allowed = ALLOWED[_package(label)] | {_package(label)}
    found += [
        f"{label} imports {imported}"
        for imported in imported_labels
        if _package(imported) not in allowed
    ]
    room = _room(label)
    rooms = {room, *ROOMS.get(room, ())}
    found += [
        f"{label}, in {room}, imports {imported}"
        for imported in imported_labels
        if room in ROOMS
        and _package(imported) == _package(label)
        and _room(imported) not in rooms
    ]
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    found.append("cycle: " + " ".join(error.args[1]))
  return sorted(found)


def test_imports_go_one_way():
  assert not violations(import_graph(ROOT))


def test_every_package_has_a_rule():
  assert set(ALLOWED) == set(source_imports.PACKAGES)


def test_every_room_has_a_rule():
  rooms = {
      source.parent.as_posix()
      for source in source_imports.sources(ROOT)
      if len(source.parts) > 2 and source.parts[0] != "tests"
  }
  assert rooms == {room for room in ROOMS if "/" in room}


TREE = {
    "benchmarks/latency.py": "from trainers import train\n",
    "export/run.py": "from pgates.layers import blocks\n",
    "image_data/pipeline.py": "import math\n",
    "pgates/__init__.py": "from pgates.layers.blocks import Block\n",
    "pgates/graphs.py": "from pgates.layers import blocks\n",
    "pgates/layers/blocks.py": "from pgates.layers import gates\n",
    "pgates/layers/gates.py": "import math\n",
    "pgates/training/losses.py": "from pgates import graphs\n",
    "trainers/train.py": "import pgates\nfrom image_data import pipeline\n",
}


def _violations_of(root, files):
  for name, text in files.items():
    path = root / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, "utf-8")
  return violations(import_graph(root))


def test_faultless_tree_has_no_violations(tmp_path):
  assert not _violations_of(tmp_path, TREE)


@pytest.mark.parametrize(
    "name, imported, violation",
    [
        (
            "pgates/training/losses.py",
            "from trainers import train",
            "//pgates/training:losses imports //trainers:train",
        ),
        (
            "image_data/pipeline.py",
            "from pgates.layers import gates",
            "//image_data:pipeline imports //pgates/layers:gates",
        ),
        (
            "export/run.py",
            "from trainers import train",
            "//export:run imports //trainers:train",
        ),
        (
            "trainers/train.py",
            "from export import run",
            "//trainers:train imports //export:run",
        ),
        (
            "trainers/train.py",
            "from benchmarks import latency",
            "//trainers:train imports //benchmarks:latency",
        ),
        (
            "pgates/layers/gates.py",
            "def f():\n  from pgates.training.losses import loss",
            "//pgates/layers:gates, in pgates/layers, imports "
            "//pgates/training:losses",
        ),
        (
            "pgates/graphs.py",
            "from pgates.training import losses",
            "//pgates:graphs, in pgates:graphs, imports //pgates/training:l",
        ),
        ("pgates/training/losses.py", "from pgates.layers import gates", None),
        ("pgates/layers/gates.py", "import pgates", "cycle: "),
    ],
)
def test_planted_import_is_judged(tmp_path, name, imported, violation):
  found = _violations_of(tmp_path, TREE | {name: imported + "\n"})
  if violation is None:
    assert not found
  else:
    assert any(text.startswith(violation) for text in found), found


def test_cycle_between_programs_is_found(tmp_path):
  changed = {
      "trainers/report.py": "from trainers import train\n",
      "trainers/train.py": "from trainers import report\n",
  }
  (found,) = _violations_of(tmp_path, TREE | changed)
  assert found.startswith("cycle: ")
  assert "//trainers:report" in found
