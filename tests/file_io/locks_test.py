"""Tests of `file_io.locks`."""

import fcntl
import re
import socket
import subprocess
import sys

import pytest

from file_io import locks

_HOLD = """
import sys, time
from file_io import locks
with locks.only_one(sys.argv[1]):
  print("held", flush=True)
  time.sleep(600)
"""


def test_second_process_is_refused_until_the_first_has_ended(tmp_path):
  holder = subprocess.Popen(
      [sys.executable, "-c", _HOLD, str(tmp_path)],
      stdout=subprocess.PIPE,
      text=True,
  )
  host = socket.gethostname()
  try:
    assert holder.stdout.readline() == "held\n"
    message = f"Process {holder.pid} on {host} is at work in {tmp_path}. Wait"
    with pytest.raises(locks.InUse, match=re.escape(message)):
      with locks.only_one(tmp_path):
        pass
  finally:
    holder.kill()
    holder.wait()
    holder.stdout.close()
  with locks.only_one(tmp_path):
    pass


def test_folder_is_free_after_an_error_too(tmp_path):
  (tmp_path / "result").touch()
  with pytest.raises(ZeroDivisionError):
    with locks.only_one(tmp_path):
      raise ZeroDivisionError
  with locks.only_one(tmp_path):
    assert (tmp_path / "result").exists()


def test_folder_into_which_nothing_came_is_removed(tmp_path):
  folder = tmp_path / "runs" / "new"
  with locks.only_one(folder):
    assert folder.is_dir()
  assert not folder.exists()
  folder.mkdir()
  with locks.only_one(folder):
    pass
  assert not list(folder.iterdir())
  with locks.only_one(folder):
    (folder / "result").touch()
  assert (folder / "result").exists()


def test_lock_on_a_file_that_was_just_removed_is_not_held(
    tmp_path, monkeypatch
):
  flock, calls = fcntl.flock, []

  def flock_late(file, operation):
    if not calls:
      # The holder ends between our opening of the file and our lock.
      (tmp_path / ".lock").unlink()
    calls.append(operation)
    return flock(file, operation)

  monkeypatch.setattr(fcntl, "flock", flock_late)
  with locks.only_one(tmp_path):
    assert (tmp_path / ".lock").exists()
    with pytest.raises(locks.InUse):
      with locks.only_one(tmp_path):
        pass


def test_folder_of_another_is_waited_for(tmp_path):
  holder = subprocess.Popen(
      [sys.executable, "-c", _HOLD, str(tmp_path)],
      stdout=subprocess.PIPE,
      text=True,
  )
  lines = []

  def echo(line):
    lines.append(line)
    holder.kill()

  try:
    assert holder.stdout.readline() == "held\n"
    locks.wait_until_free(tmp_path, echo=echo, seconds=0.01)
  finally:
    holder.kill()
    holder.wait()
    holder.stdout.close()
  (line,) = lines
  assert line.startswith(f"Process {holder.pid} on ") and "waiting" in line
  locks.wait_until_free(tmp_path / "none", echo=echo)
  assert len(lines) == 1
