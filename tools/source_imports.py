"""What our sources import, as the labels of their targets."""

import ast
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


def sources(root: pathlib.Path) -> list[pathlib.PurePath]:
  """Lists the Python files of our packages, relative to the root."""
  return sorted(
      path.relative_to(root)
      for package in PACKAGES
      for path in (root / package).rglob("*.py")
  )


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
  return f"//{package}" + ("" if is_init(source) else f":{source.stem}")


def is_init(source: pathlib.PurePath) -> bool:
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
        " tools/source_imports.py. Add it there and to the requirements."
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
