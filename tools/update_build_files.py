"""Writes the BUILD files: a target for each Python file, deps as it imports.

  make build-files

writes one BUILD file for each folder with Python files, one for the root, and
removes those that are left without sources.
"""

import ast
from collections.abc import Iterator
import pathlib
import sys

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

# What to install for an import. Keras does not require its backend, nor
# TensorFlow Probability the Keras 2 that it imports: both come second here.
PIP_NAMES = {
    "PIL": ("pillow",),
    "absl": ("absl-py",),
    "ai_edge_litert": ("ai-edge-litert",),
    "filelock": ("filelock",),
    "google": ("protobuf",),
    "grpc": ("grpcio",),
    "keras": ("keras", "tensorflow"),
    "keras_cv": ("keras-cv",),
    "matplotlib": ("matplotlib",),
    "numpy": ("numpy",),
    "pytest": ("pytest",),
    "safetensors": ("safetensors",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn",),
    "tensorboard": ("tensorboard",),
    "tensorflow": ("tensorflow",),
    "tensorflow_datasets": ("tensorflow-datasets",),
    "tensorflow_probability": ("tensorflow-probability", "tf-keras"),
    "tensorflow_serving": ("tensorflow-serving-api",),
    "tf_keras": ("tf-keras",),
}

_ROOT_BUILD = """\
exports_files([
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements_lock.txt",
])
"""


def imported_names(source: str) -> set[tuple[str, str]]:
  """Finds every import of a file, those inside functions too.

  Args:
    source: Python source.

  Returns:
    Pairs (module, name): `import a.b` is ("a.b", ""), `from a import b` is
    ("a", "b").

  Raises:
    ValueError: for a relative import.
  """
  names = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names.update((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      if node.level:
        raise ValueError(
            f"line {node.lineno}: relative import. Write the whole name, as in"
            " `from pgates import gates`."
        )
      names.update((node.module, alias.name) for alias in node.names)
  return names


def label(source: pathlib.PurePath) -> str:
  """Names the target of a source, given relative to the root."""
  package = source.parent.as_posix()
  return f"//{package}" + ("" if _is_init(source) else f":{source.stem}")


def _is_init(source: pathlib.PurePath) -> bool:
  return source.name == "__init__.py"


def _imported_source(
    root: pathlib.Path, module: str, name: str
) -> pathlib.PurePath:
  whole = [] if name in ("", "*") else [f"{module}.{name}"]
  for dotted in [*whole, module]:
    path = pathlib.PurePath(*dotted.split("."))
    for source in (path / "__init__.py", path.with_suffix(".py")):
      if (root / source).is_file():
        return source
  raise ValueError(f"no file for the import of {name or module!r}: {module}.")


def _import_labels(root: pathlib.Path, module: str, name: str) -> list[str]:
  top = module.partition(".")[0]
  if top in PACKAGES:
    return [label(_imported_source(root, module, name))]
  if top in sys.stdlib_module_names:
    return []
  if top not in PIP_NAMES:
    raise ValueError(
        f"imports {top!r}, which is neither ours nor in PIP_NAMES of"
        " tools/update_build_files.py. Add it there and to the requirements."
    )
  return [f"@pypi//{name.replace('-', '_')}" for name in PIP_NAMES[top]]


def import_labels(root: pathlib.Path, source: pathlib.PurePath) -> set[str]:
  """Labels of everything that a source imports.

  Args:
    root: of the checkout.
    source: path of the source, relative to the root.

  Returns:
    Labels such as "//pgates:gates" and "@pypi//absl_py".

  Raises:
    ValueError: for an import that has no target.
  """
  labels = set()
  try:
    for module, name in imported_names((root / source).read_text("utf-8")):
      labels.update(_import_labels(root, module, name))
  except ValueError as error:
    raise ValueError(f"{source}: {error}") from error
  return labels


def sources(root: pathlib.Path) -> list[pathlib.PurePath]:
  """Lists the Python files of our packages, relative to the root."""
  return sorted(
      path.relative_to(root)
      for package in PACKAGES
      for path in (root / package).rglob("*.py")
  )


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
  labels = import_labels(root, source)
  name = source.parent.name if _is_init(source) else source.stem
  lines = [f'name = "{name}",', f'srcs = ["{source.name}"],']
  lines += _file_attributes(root, source)
  if is_test(source):
    labels.add("@pypi//pytest")
    conftests = (folder / "conftest.py" for folder in source.parents)
    labels.update(label(each) for each in conftests if (root / each).is_file())
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
  for folder in sorted({source.parent for source in sources(root)}):
    own = [source for source in sources(root) if source.parent == folder]
    rules = sorted({"py_test" if is_test(s) else "py_library" for s in own})
    symbols = ", ".join(f'"{rule}"' for rule in rules)
    parts = [
        f'load("@rules_python//python:defs.bzl", {symbols})',
        'package(default_visibility = ["//visibility:public"])',
        *(target(root, source) for source in own),
    ]
    files[folder / "BUILD"] = "\n\n".join(parts) + "\n"
  return files


def stale_build_files(root: pathlib.Path) -> list[pathlib.PurePath]:
  """Lists the BUILD files of our packages that no source stands beside."""
  kept = build_files(root)
  found = (
      path.relative_to(root)
      for package in PACKAGES
      for path in (root / package).rglob("BUILD")
  )
  return sorted(path for path in found if path not in kept)


def main(root: pathlib.Path) -> None:
  """Brings the BUILD files of a tree up to date."""
  for path in stale_build_files(root):
    (root / path).unlink()
  for path, text in build_files(root).items():
    (root / path).write_text(text, "utf-8")


if __name__ == "__main__":
  main(pathlib.Path(__file__).resolve().parent.parent)
