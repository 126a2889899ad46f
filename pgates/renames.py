"""Old names of public arguments, refused with the new ones."""

from collections.abc import Callable
import functools


def renamed(**new_names: str) -> Callable[[Callable], Callable]:
  """Decorates a function of which keyword arguments have new names.

  Args:
    **new_names: new names by the old ones.

  Returns:
    A decorator; its function raises a TypeError for an old name.
  """

  def decorate(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
      for old in set(new_names) & set(kwargs):
        raise TypeError(
            f"{function.__name__}: the argument `{old}` is now called "
            f"`{new_names[old]}`."
        )
      return function(*args, **kwargs)

    return wrapper

  return decorate
