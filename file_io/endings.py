"""How a program ends that a user or the system stops: in one line."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import signal
import sys
from typing import NoReturn

# Of a terminal that is closed, and of `kill` and schedulers.
STOPPING = (signal.SIGHUP, signal.SIGTERM)


class _Stopped(BaseException):
  """A signal came; what is under way cleans up."""


@contextlib.contextmanager
def in_one_line(program: str, text: str) -> Iterator[None]:
  """Lets Ctrl-C, SIGTERM and SIGHUP end a program after it has cleaned up.

  Args:
    program: its name.
    text: a sentence on what stays.

  Raises:
    SystemExit: when one came, with the code that shells give: 130, 143, 129.
  """
  came = []

  def stop(number, frame):
    del frame
    if not came:  # Another one must not stop the clean-up.
      came.append(number)
      raise _Stopped

  try:
    with handling(stop):
      yield
  except KeyboardInterrupt:
    end(program, signal.SIGINT, text)
  except _Stopped:
    end(program, came[0], text)


@contextlib.contextmanager
def handling(handler: Callable[..., None]) -> Iterator[None]:
  """Gives SIGTERM and SIGHUP to a handler, but for those that are ignored.

  Args:
    handler: as of `signal.signal`.
  """
  previous = {
      number: signal.signal(number, handler)
      for number in STOPPING
      # As `nohup` has it.
      if signal.getsignal(number) is not signal.SIG_IGN
  }
  try:
    yield
  finally:
    for number, before in previous.items():
      signal.signal(number, before)


def end(program: str, number: int, text: str) -> NoReturn:
  """Ends a program as one that a signal has ended, and says so.

  Args:
    program: its name.
    number: of the signal.
    text: a sentence on what stays.
  """
  name = signal.Signals(number).name
  print(f"{program}: Ended by {name}. {text}", file=sys.stderr, flush=True)
  sys.exit(128 + number)
