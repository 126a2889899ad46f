"""Tests of `file_io.scratch`."""

import logging
import pathlib
import shutil

import pytest

from file_io import scratch


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_folder_is_new_and_removed_at_the_end(tmp_path, error):
  def make():
    with (
        scratch.folder(tmp_path, ".a-") as first,
        scratch.folder(tmp_path, ".a-") as second,
    ):
      assert first != second
      for path in (first, second):
        assert path.parent == tmp_path and path.name.startswith(".a-")
        (path / "whole").mkdir()
      (first / "whole").rename(tmp_path / "kept")
      if error:
        raise error

  if error:
    with pytest.raises(error):
      make()
  else:
    make()
  assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_folder_that_cannot_be_removed_is_named_and_no_error(
    tmp_path, monkeypatch, caplog
):
  def fail(path):
    raise PermissionError(f"Not permitted: {path}")

  monkeypatch.setattr(shutil, "rmtree", fail)
  with caplog.at_level(logging.WARNING, logger="absl"):
    with scratch.folder(tmp_path, ".a-") as path:
      pass
  assert f"{path}, a leftover, cannot be removed: Not per" in caplog.text


def test_files_and_links_are_removed_but_not_what_links_lead_to(tmp_path):
  kept = tmp_path / "kept"
  kept.mkdir()
  file, link = tmp_path / "file", tmp_path / "link"
  file.touch()
  link.symlink_to(kept)
  scratch.remove(file)
  scratch.remove(link)
  assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_folder_of_a_plain_name_is_itself(tmp_path):
  with scratch.without_pattern(tmp_path) as path:
    assert path is tmp_path


def test_folder_of_another_name_is_reached_by_a_link(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  folder = pathlib.Path("seed[1]")
  folder.mkdir()
  with scratch.without_pattern(folder) as path:
    (path / "a").write_text("written")
    assert not set("*?[\\").intersection(str(path))
  assert (folder / "a").read_text() == "written"
  assert not path.parent.exists()
