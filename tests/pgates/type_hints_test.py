"""Every public function of `pgates` says what it takes and returns."""

import importlib
import inspect
import pkgutil
import typing

import pgates

_SPECIAL = ("__init__", "__call__")


def _modules():
  found = pkgutil.walk_packages(pgates.__path__, "pgates.")
  return [importlib.import_module(module.name) for module in found]


def _members(owner):
  """The public functions that a module or class defines, as they are."""
  for name, value in vars(owner).items():
    if name.startswith("_") and name not in _SPECIAL:
      continue
    if isinstance(value, property):
      value = value.fget
    value = inspect.unwrap(getattr(value, "__func__", value))
    if inspect.isfunction(value):
      yield name, value


def _functions(module):
  classes = [
      value
      for name, value in vars(module).items()
      if inspect.isclass(value) and not name.startswith("_")
  ]
  for owner in (module, *classes):
    for name, function in _members(owner):
      if function.__module__ == module.__name__:
        yield f"{module.__name__}: {function.__qualname__}", name, function


def _without_type(name, function):
  """Names of what a function does not say the type of."""
  signature = inspect.signature(function)
  hints = typing.get_type_hints(function)
  names = [each for each in signature.parameters if each not in ("self", "cls")]
  if name != "__init__":
    names.append("return")
  return [each for each in names if each not in hints]


def test_public_functions_are_fully_hinted():
  found = {
      place: _without_type(name, function)
      for module in _modules()
      for place, name, function in _functions(module)
  }
  assert len(found) > 200  # Those that there are; else the search is wrong.
  assert not {place: names for place, names in found.items() if names}


def test_what_says_no_type_is_found():
  def hinted(a: int, *args: int, b: str = "", **kwargs: int) -> int:
    del args, b, kwargs
    return a

  def bare(a, *args, b: str, **kwargs):
    del args, b, kwargs
    return a

  assert not _without_type("hinted", hinted)
  assert _without_type("bare", bare) == ["a", "args", "kwargs", "return"]
