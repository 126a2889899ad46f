"""Tests of `file_io.writable`."""

import os
import pathlib
import resource
import tempfile

import pytest

from file_io import writable


@pytest.mark.parametrize("place", ["", "new", "new/deeper"])
def test_what_can_be_written_is_fine_and_nothing_is_made(tmp_path, place):
  writable.check_folder(tmp_path / place, instead="--there")
  writable.check_file(tmp_path / place / "a.json", instead="--there")
  assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays_as_it_is(tmp_path):
  (tmp_path / "a.json").write_text("old")
  writable.check_file(tmp_path / "a.json", instead="--there")
  assert (tmp_path / "a.json").read_text() == "old"


@pytest.mark.parametrize("place", ["file", "file/out"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, place):
  (tmp_path / "file").touch()
  message = f"{tmp_path}/file is a file. Give another --there, or move it"
  with pytest.raises(NotADirectoryError, match=message):
    writable.check_folder(tmp_path / place, instead="--there")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
  (tmp_path / "a.json").mkdir()
  message = f"{tmp_path}/a.json is a folder.*Give another --there"
  with pytest.raises(IsADirectoryError, match=message):
    writable.check_file(tmp_path / "a.json", instead="--there")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="there is no /proc")
def test_a_folder_that_takes_no_files_is_found_whatever_its_permissions_say():
  # To root it looks like any other, and tests may be run by root.
  for path in ("/proc/a.json", "/proc/new/a.json"):
    with pytest.raises(OSError, match="/proc cannot be written: .*--there"):
      writable.check_file(path, instead="--there")


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
  def refuse(dir):
    raise PermissionError(13, "Permission denied", str(dir))

  monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
  message = f"{tmp_path} cannot be written: Permission denied. Give another"
  with pytest.raises(PermissionError, match=message):
    writable.check_folder(tmp_path / "new", instead="--there")


def test_a_disk_that_is_full_is_named(tmp_path):
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  # As a disk does that has no room for a byte.
  resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
  try:
    with pytest.raises(OSError, match=f"{tmp_path} cannot be written: File"):
      writable.check_file(pathlib.Path(tmp_path, "a"), instead="--there")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
