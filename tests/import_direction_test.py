"""Holds the rule of which of our packages and modules may import which."""

import graphlib
import pathlib

import pytest

from tools import update_build_files

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each package may import of ours, besides itself.
ALLOWED = {
    "benchmarks": {"export", "file_io", "image_data", "pgates", "trainers"},
    "export": {"file_io", "image_data", "pgates"},
    "file_io": set(),
    "image_data": set(),
    "pgates": set(),
    "tests": {*update_build_files.PACKAGES},
    "tools": set(),
    "trainers": {"file_io", "image_data", "pgates"},
}

# Later ones may reach earlier ones, never back; model and resnet are level.
LEVELS = {
    "//pgates:gate_ops": 0,
    "//pgates:gates": 1,
    "//pgates:executions": 2,
    "//pgates:blocks": 3,
    "//pgates:compute": 4,
    "//pgates:graphs": 4,
    "//pgates:model": 5,
    "//pgates:rules": 5,
    "//pgates:pruning": 5,
    "//pgates:resnet": 6,
    "//pgates:strategies": 6,
}


def import_graph(root):
  """Which sources of ours each of our sources imports, as labels."""
  return {
      update_build_files.label(source): {
          label
          for label in update_build_files.import_labels(root, source)
          if label.startswith("//")
      }
      for source in update_build_files.sources(root)
  }


def _package(label):
  return label.removeprefix("//").partition(":")[0].partition("/")[0]


def _reachable(graph, label):
  reached, waiting = set(), [label]
  while waiting:
    for imported in graph.get(waiting.pop(), ()):
      if imported not in reached:
        reached.add(imported)
        waiting.append(imported)
  return reached


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
    found += [
        f"{label} reaches back to {reached}"
        for reached in _reachable(graph, label)
        if LEVELS.get(reached, -1) > LEVELS.get(label, len(LEVELS))
    ]
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    found.append("cycle: " + " ".join(error.args[1]))
  return sorted(found)


def test_imports_go_one_way():
  assert not violations(import_graph(ROOT))


def test_every_package_has_a_rule():
  assert set(ALLOWED) == set(update_build_files.PACKAGES)


TREE = {
    "benchmarks/latency.py": "from trainers import train\n",
    "export/saved_model.py": "from pgates import blocks\n",
    "image_data/pipeline.py": "import math\n",
    "pgates/__init__.py": "from pgates.blocks import Block\n",
    "pgates/blocks.py": "from pgates import gates\n",
    "pgates/gate_ops.py": "import math\n",
    "pgates/gates.py": "from pgates import gate_ops\n",
    "pgates/losses.py": "import math\n",
    "trainers/train.py": "import pgates\nfrom image_data import pipeline\n",
}


def _violations_of(root, files):
  for name, text in files.items():
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
  return violations(import_graph(root))


def test_faultless_tree_has_no_violations(tmp_path):
  assert not _violations_of(tmp_path, TREE)


@pytest.mark.parametrize(
    "name, imported, violation",
    [
        (
            "pgates/losses.py",
            "from trainers import train",
            "//pgates:losses imports //trainers:train",
        ),
        (
            "image_data/pipeline.py",
            "from pgates import gate_ops",
            "//image_data:pipeline imports //pgates:gate_ops",
        ),
        (
            "export/saved_model.py",
            "from trainers import train",
            "//export:saved_model imports //trainers:train",
        ),
        (
            "trainers/train.py",
            "from export import saved_model",
            "//trainers:train imports //export:saved_model",
        ),
        (
            "trainers/train.py",
            "from benchmarks import latency",
            "//trainers:train imports //benchmarks:latency",
        ),
        (
            "pgates/gate_ops.py",
            "from pgates import gates",
            "//pgates:gate_ops reaches back to //pgates:gates",
        ),
        (
            "pgates/gates.py",
            "def f():\n  from pgates.losses import loss",
            None,
        ),
        ("pgates/gates.py", "import pgates", "cycle: "),
    ],
)
def test_planted_import_is_judged(tmp_path, name, imported, violation):
  found = _violations_of(tmp_path, TREE | {name: imported + "\n"})
  if violation is None:
    assert not found
  else:
    assert any(text.startswith(violation) for text in found), found


def test_way_back_through_another_module_is_found(tmp_path):
  changed = {
      "pgates/gate_ops.py": "from pgates import losses\n",
      "pgates/losses.py": "from pgates import gates\n",
      "pgates/gates.py": "import math\n",
  }
  assert _violations_of(tmp_path, TREE | changed) == [
      "//pgates:gate_ops reaches back to //pgates:gates"
  ]


def test_cycle_between_programs_is_found(tmp_path):
  changed = {
      "trainers/report.py": "from trainers import train\n",
      "trainers/train.py": "from trainers import report\n",
  }
  (found,) = _violations_of(tmp_path, TREE | changed)
  assert found.startswith("cycle: ")
  assert "//trainers:report" in found
