"""Tests of `tools/update_build_files.py` on a tree of its own, and on ours."""

import pathlib

import pytest

from tools import update_build_files

ROOT = pathlib.Path(__file__).resolve().parents[2]

TREE = {
    "pgates/__init__.py": "from pgates.gates import Gate\n",
    "pgates/gate_ops.py": (
        "import math\nimport tensorflow_probability as tfp\n"
    ),
    "pgates/gates.py": "import keras\nfrom pgates import gate_ops\n",
    "tests/conftest.py": "import pytest\n",
    "tests/gates_test.py": (
        "import pgates\n"
        "from pgates import Gate, gates\n"
        "def test_gate():\n"
        "  from absl import flags\n"
        "  open('data/golden.npz')\n"
    ),
    "tests/data/golden.npz": "",
}

PGATES_BUILD = """\
load("@rules_python//python:defs.bzl", "py_library")

package(default_visibility = ["//visibility:public"])

py_library(
    name = "pgates",
    srcs = ["__init__.py"],
    deps = ["//pgates:gates"],
)

py_library(
    name = "gate_ops",
    srcs = ["gate_ops.py"],
    deps = [
        "@pypi//tensorflow_probability",
        "@pypi//tf_keras",
    ],
)

py_library(
    name = "gates",
    srcs = ["gates.py"],
    deps = [
        "//pgates:gate_ops",
        "@pypi//keras",
        "@pypi//tensorflow",
    ],
)
"""

TESTS_BUILD = """\
load("@rules_python//python:defs.bzl", "py_library", "py_test")

package(default_visibility = ["//visibility:public"])

py_library(
    name = "conftest",
    srcs = ["conftest.py"],
    deps = ["@pypi//pytest"],
)

py_test(
    name = "gates_test",
    srcs = ["gates_test.py"],
    args = ["tests/gates_test.py"],
    data = glob(["data/**"]),
    main_module = "pytest",
    deps = [
        "//pgates",
        "//pgates:gates",
        "//tests:conftest",
        "@pypi//absl_py",
        "@pypi//pytest",
    ],
)
"""


@pytest.fixture
def tree(tmp_path):
  for name, text in TREE.items():
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
  return tmp_path


def _read(tree):
  return {
      path.relative_to(tree).as_posix(): path.read_text("utf-8")
      for path in tree.rglob("BUILD")
  }


def test_targets_and_deps_follow_sources_and_imports(tree):
  update_build_files.main(tree)
  files = _read(tree)
  assert sorted(files) == ["BUILD", "pgates/BUILD", "tests/BUILD"]
  assert files["pgates/BUILD"] == PGATES_BUILD
  assert files["tests/BUILD"] == TESTS_BUILD


def test_package_without_sources_loses_its_build_file(tree):
  (tree / "export").mkdir()
  (tree / "export" / "BUILD").write_text("# left over\n", "utf-8")
  update_build_files.main(tree)
  assert not (tree / "export" / "BUILD").exists()


def test_test_that_finds_files_by_its_place_leaves_the_sandbox(tree):
  path = tree / "tests" / "gates_test.py"
  path.write_text("ROOT = __file__\n", "utf-8")
  text = update_build_files.build_files(tree)[pathlib.PurePath("tests/BUILD")]
  assert 'tags = ["local"]' in text
  assert "glob" not in text


def test_import_without_target_is_refused_by_name(tree):
  (tree / "pgates" / "gates.py").write_text("import kerras\n", "utf-8")
  with pytest.raises(ValueError, match="gates.py: imports 'kerras'"):
    update_build_files.build_files(tree)


def test_committed_files_are_up_to_date():
  expected = update_build_files.build_files(ROOT)
  outdated = [
      path.as_posix()
      for path, text in expected.items()
      if not (ROOT / path).is_file() or (ROOT / path).read_text("utf-8") != text
  ]
  stale = update_build_files.stale_build_files(ROOT, expected)
  assert not outdated and not stale, "run `make build-files`"
