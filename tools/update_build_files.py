"""Writes the BUILD files: a target for each Python file, deps as it imports.

  make build-files

writes one BUILD file for each folder with Python files, one for the root, and
removes those that are left without sources.
"""

import ast
from collections.abc import Collection
from collections.abc import Iterator
import pathlib

from tools import source_imports

_ROOT_BUILD = """\
exports_files([
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements_lock.txt",
])
"""


def _names_test_data(source: str) -> bool:
  constants = (
      node.value
      for node in ast.walk(ast.parse(source))
      if isinstance(node, ast.Constant) and isinstance(node.value, str)
  )
  return any(
      text == "data" or text.startswith(("data/", "tests/data"))
      for text in constants
  )


def _file_attributes(
    root: pathlib.Path, source: pathlib.PurePath
) -> Iterator[str]:
  text = (root / source).read_text("utf-8")
  if is_test(source):
    yield f'args = ["{source.as_posix()}"],'
  if (root / source.parent / "data").is_dir() and _names_test_data(text):
    yield 'data = glob(["data/**"]),'
  if is_test(source):
    # `python -m pytest FILE`: run by itself, a test file tests nothing.
    yield 'main_module = "pytest",'
  if is_test(source) and "__file__" in text:
    # Out of the sandbox, where `__file__` resolves to the checkout.
    yield 'tags = ["local"],'


def _labels_attribute(labels: set[str]) -> Iterator[str]:
  if len(labels) == 1:
    yield f'deps = ["{labels.pop()}"],'
  elif labels:
    yield "deps = ["
    for text in sorted(labels):
      yield f'    "{text}",'
    yield "],"


def target(root: pathlib.Path, source: pathlib.PurePath) -> str:
  """Writes the target of one source, given relative to the root."""
  labels = source_imports.import_labels(root, source)
  name = source.parent.name if source_imports.is_init(source) else source.stem
  lines = [f'name = "{name}",', f'srcs = ["{source.name}"],']
  lines += _file_attributes(root, source)
  if is_test(source):
    labels.add("@pypi//pytest")
    conftests = (folder / "conftest.py" for folder in source.parents)
    labels.update(
        source_imports.label(each)
        for each in conftests
        if (root / each).is_file()
    )
  lines += _labels_attribute(labels)
  rule = "py_test" if is_test(source) else "py_library"
  return "\n".join([f"{rule}(", *(f"    {line}" for line in lines), ")"])


def is_test(source: pathlib.PurePath) -> bool:
  """Tells tests from libraries."""
  return source.stem.endswith("_test")


def build_files(root: pathlib.Path) -> dict[pathlib.PurePath, str]:
  """Writes all BUILD files of a tree into a dictionary.

  Args:
    root: of the checkout.

  Returns:
    The text of each BUILD file by its path, relative to the root.
  """
  files = {pathlib.PurePath("BUILD"): _ROOT_BUILD}
  by_folder = {}
  for source in source_imports.sources(root):
    by_folder.setdefault(source.parent, []).append(source)
  for folder, own in sorted(by_folder.items()):
    rules = sorted({"py_test" if is_test(s) else "py_library" for s in own})
    symbols = ", ".join(f'"{rule}"' for rule in rules)
    parts = [
        f'load("@rules_python//python:defs.bzl", {symbols})',
        'package(default_visibility = ["//visibility:public"])',
        *(target(root, source) for source in own),
    ]
    files[folder / "BUILD"] = "\n\n".join(parts) + "\n"
  return files


def stale_build_files(
    root: pathlib.Path, kept: Collection[pathlib.PurePath]
) -> list[pathlib.PurePath]:
  """Lists the BUILD files of our packages that are not among those kept."""
  found = (
      path.relative_to(root)
      for package in source_imports.PACKAGES
      for path in (root / package).rglob("BUILD")
  )
  return sorted(path for path in found if path not in kept)


def main(root: pathlib.Path) -> None:
  """Brings the BUILD files of a tree up to date."""
  files = build_files(root)
  for path in stale_build_files(root, files):
    (root / path).unlink()
  for path, text in files.items():
    (root / path).write_text(text, "utf-8")


if __name__ == "__main__":
  main(pathlib.Path(__file__).resolve().parent.parent)
