"""Holds the BUILD files against the tree, read without their generator."""

import ast
import importlib.metadata
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

PACKAGES = (
    "benchmarks",
    "export",
    "file_io",
    "image_data",
    "pgates",
    "run_data",
    "tests",
    "tools",
    "trainers",
)

# Needed where the first is imported, though it does not require them itself.
UNDECLARED = {"keras": "tensorflow", "tensorflow_probability": "tf_keras"}


def _build_files(root):
  return [file for name in PACKAGES for file in (root / name).rglob("BUILD")]


def _calls(build_file):
  """Yields (function, positional arguments, keyword arguments)."""
  for statement in ast.parse(build_file.read_text("utf-8")).body:
    call = statement.value
    keywords = {
        keyword.arg: ast.unparse(keyword.value)
        if isinstance(keyword.value, ast.Call)
        else ast.literal_eval(keyword.value)
        for keyword in call.keywords
    }
    yield call.func.id, [ast.literal_eval(a) for a in call.args], keywords


def _targets(root):
  """Yields (folder, rule, attributes) of every target."""
  for build_file in _build_files(root):
    for function, _, keywords in _calls(build_file):
      if function in ("py_library", "py_test"):
        yield build_file.parent, function, keywords


def _full_label(root, folder, name):
  return f"//{folder.relative_to(root).as_posix()}:{name}"


def _written_out(text):
  """`//pgates` is short for `//pgates:pgates`."""
  return text if ":" in text else f"{text}:{text.rpartition('/')[2]}"


def _imports(path):
  """Dotted names, longest first, that each import statement may mean."""
  for node in ast.walk(ast.parse(path.read_text("utf-8"))):
    if isinstance(node, ast.Import):
      yield from ([alias.name] for alias in node.names)
    if isinstance(node, ast.ImportFrom):
      for alias in node.names:
        yield [f"{node.module}.{alias.name}", node.module]


def _own_deps(root, path):
  labels = set()
  for dotted_names in _imports(path):
    if dotted_names[-1].split(".")[0] not in PACKAGES:
      continue
    for dotted in dotted_names:
      place = root.joinpath(*dotted.split("."))
      if (place / "__init__.py").is_file():
        labels.add(_full_label(root, place, place.name))
      elif place.with_suffix(".py").is_file():
        labels.add(_full_label(root, place.parent, place.name))
      else:
        continue
      break
  if path.name.endswith("_test.py"):
    for folder in path.relative_to(root).parents:
      if (root / folder / "conftest.py").exists():
        labels.add(_full_label(root, root / folder, "conftest"))
  return labels


def _normal(name):
  return re.sub(r"[-_.]+", "_", name).lower()


def _third_party_deps(path, distributions):
  tops = {names[-1].split(".")[0] for names in _imports(path)}
  tops -= {*PACKAGES, *sys.stdlib_module_names}
  tops |= {UNDECLARED[top] for top in tops if top in UNDECLARED}
  if path.name.endswith("_test.py"):
    tops.add("pytest")
  return {_normal(name) for top in tops for name in distributions[top]}


def _locked(root):
  text = (root / "requirements_lock.txt").read_text("utf-8")
  return {_normal(n) for n in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def faults(root, distributions):
  """Describes everything in which the BUILD files of a tree are wrong."""
  found = []
  owners = []
  locked = _locked(root)
  for folder, rule, attributes in _targets(root):
    name = _full_label(root, folder, attributes["name"])
    paths = [folder / source for source in attributes["srcs"]]
    owners += paths
    missing = [path for path in paths if not path.is_file()]
    found += [f"{name}: no file {path.name}" for path in missing]
    if missing:
      continue
    is_test = any(path.name.endswith("_test.py") for path in paths)
    if (rule == "py_test") != is_test:
      found.append(f"{name}: is a {rule}")
    if is_test and (
        attributes.get("main_module") != "pytest"
        or [root / arg for arg in attributes["args"]] != paths
    ):
      found.append(f"{name}: runs no test")
    deps = attributes.get("deps", [])
    if deps != sorted(set(deps)):
      found.append(f"{name}: deps not sorted")
    own = {_written_out(dep) for dep in deps if dep.startswith("//")}
    for dep in own ^ set().union(*(_own_deps(root, path) for path in paths)):
      found.append(f"{name}: {dep} is a dep or an import, not both")
    pip = {dep.removeprefix("@pypi//") for dep in deps} - set(deps)
    found += [f"{name}: {dep} not locked" for dep in pip - locked]
    for dep in pip ^ set().union(
        *(_third_party_deps(path, distributions) for path in paths)
    ):
      found.append(f"{name}: {dep} is a dep or an import, not both")
    if len(own) + len(pip) != len(deps):
      found.append(f"{name}: a dep is neither ours nor @pypi's")
  sources = {path for p in PACKAGES for path in (root / p).rglob("*.py")}
  for path in sources:
    if owners.count(path) != 1:
      found.append(f"{path.name}: in {owners.count(path)} targets")
  return sorted(found + _load_faults(root))


def _load_faults(root):
  found = []
  for build_file in _build_files(root):
    loaded, used = set(), set()
    for function, arguments, _ in _calls(build_file):
      if function == "load" and arguments[0].startswith("@rules_python//"):
        loaded.update(arguments[1:])
      elif function not in ("load", "package"):
        used.add(function)
    if loaded != used:
      found.append(f"{build_file.parent.name}: {loaded ^ used} not loaded")
  return found


def test_build_files_fit_the_tree():
  distributions = importlib.metadata.packages_distributions()
  # A namespace of several distributions, of which we import `google.protobuf`.
  distributions["google"] = ["protobuf"]
  assert not faults(ROOT, distributions)


def test_module_pins_the_rules_and_the_hub_that_build_files_name():
  assert (ROOT / "BUILD").is_file()
  module = (ROOT / "MODULE.bazel").read_text("utf-8")
  nodes = ast.walk(ast.parse(module))
  texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
  assert {"rules_python", "pypi", "3.11", "//:requirements_lock.txt"} <= texts


GOOD = {
    "pgates/gates.py": "import keras\n",
    "pgates/blocks.py": "def f():\n  from pgates import gates\n",
    "tests/gates_test.py": "from pgates.gates import Gate\n",
    "requirements_lock.txt": "keras==1\npytest==1\ntensorflow==1\n",
    "pgates/BUILD": """
load("@rules_python//python:defs.bzl", "py_library")
py_library(
    name = "gates",
    srcs = ["gates.py"],
    deps = ["@pypi//keras", "@pypi//tensorflow"],
)
py_library(name = "blocks", srcs = ["blocks.py"], deps = ["//pgates:gates"])
""",
    "tests/BUILD": """
load("@rules_python//python:defs.bzl", "py_test")
py_test(
    name = "gates_test",
    srcs = ["gates_test.py"],
    args = ["tests/gates_test.py"],
    main_module = "pytest",
    deps = ["//pgates:gates", "@pypi//pytest"],
)
""",
}


def _faults_of(root, files):
  for name, text in files.items():
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
  names = ("keras", "pytest", "tensorflow")
  return faults(root, {name: [name] for name in names})


def test_faultless_tree_has_no_faults(tmp_path):
  assert not _faults_of(tmp_path, GOOD)


@pytest.mark.parametrize(
    "name, old, new, fault",
    [
        (
            "pgates/BUILD",
            'deps = ["//pgates:gates"]',
            "",
            "//pgates:gates is",
        ),
        (
            "pgates/blocks.py",
            "from pgates import gates",
            "import math",
            "blocks: //pgates:gates",
        ),
        ("pgates/BUILD", '"gates.py"', '"gatez.py"', "no file gatez.py"),
        ("pgates/BUILD", '"blocks.py"', '"gates.py"', "gates.py: in 2 targets"),
        ("pgates/BUILD", 'load("@rules', 'load("@rulez', "not loaded"),
        ("pgates/BUILD", "keras", "kerras", "kerras not locked"),
        ("pgates/BUILD", '"@pypi//keras", ', "", "gates: keras is a dep or an"),
        ("pgates/BUILD", "@pypi//keras", "@pypy//keras", "neither ours nor"),
        ("requirements_lock.txt", "keras==1", "", "keras not locked"),
        ("tests/BUILD", 'main_module = "pytest",', "", "runs no test"),
        ("tests/BUILD", "tests/gates", "tests/blocks", "runs no test"),
        ("tests/BUILD", "py_test", "py_library", "is a py_library"),
        (
            "tests/BUILD",
            '"//pgates:gates", "@pypi//pytest"',
            '"@pypi//pytest", "//pgates:gates"',
            "deps not sorted",
        ),
    ],
)
def test_planted_fault_is_found(tmp_path, name, old, new, fault):
  assert old in GOOD[name]
  changed = GOOD | {name: GOOD[name].replace(old, new)}
  found = _faults_of(tmp_path, changed)
  assert any(fault in text for text in found), found


def test_source_without_target_is_found(tmp_path):
  found = _faults_of(tmp_path, GOOD | {"pgates/model.py": ""})
  assert found == ["model.py: in 0 targets"]
