"""Tests of what `pgates` offers by name."""

import ast
import inspect
import pathlib

import keras
import pytest

import pgates

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERIALISABLE = (
    keras.layers.Layer,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.Model,
    keras.optimizers.Optimizer,
)


def _bound_names(source):
  """Names that the imports of a module bind; fails on any other statement."""
  docstring, *statements, names = ast.parse(source).body
  assert isinstance(docstring.value, ast.Constant)
  assert ast.unparse(names).startswith("__all__ = ")
  for statement in statements:
    assert isinstance(statement, ast.ImportFrom), ast.unparse(statement)
    yield from (alias.asname or alias.name for alias in statement.names)


def _is_registered(cls):
  return keras.saving.get_registered_name(cls).startswith("pgates>")


def test_init_holds_imports_and_all_only():
  source = (ROOT / "pgates" / "__init__.py").read_text("utf-8")
  assert sorted(_bound_names(source)) == sorted(pgates.__all__)


def test_names_are_sorted_and_unique():
  assert pgates.__all__ == sorted(set(pgates.__all__))


@pytest.mark.parametrize("name", pgates.__all__)
def test_public_name_exists_with_a_docstring(name):
  value = getattr(pgates, name)
  assert not name.startswith("_")
  if inspect.isclass(value) or inspect.isfunction(value):
    # `inspect.getdoc` would take the base class's.
    assert value.__doc__


@pytest.mark.parametrize("name", pgates.__all__)
def test_what_keras_saves_is_registered(name):
  value = getattr(pgates, name)
  if inspect.isclass(value) and issubclass(value, SERIALISABLE):
    assert _is_registered(value)


def test_unregistered_layer_is_noticed():
  class Unregistered(keras.layers.Layer):
    pass

  assert not _is_registered(Unregistered)


def test_statement_in_init_is_noticed():
  source = '"""Doc."""\nfrom a import b\nprint(b)\n__all__ = ["b"]\n'
  with pytest.raises(AssertionError, match="print"):
    list(_bound_names(source))


def test_readme_exists():
  assert (ROOT / "README.md").is_file()
