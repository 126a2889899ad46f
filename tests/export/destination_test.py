"""Tests of `export.destination`."""

import os
import tempfile

import pytest

from export import destination
from export import run

NAMES = ["digits_fixed", "digits_dynamic", "digits_dynamic_int8.tflite"]


def test_new_folders_and_old_exports_are_fine_and_nothing_is_made(tmp_path):
  destination.check(tmp_path / "new" / "out", NAMES)
  assert not list(tmp_path.iterdir())
  (tmp_path / "digits_fixed" / "1").mkdir(parents=True)
  (tmp_path / "digits_dynamic_int8.tflite").write_text("old")
  destination.check(tmp_path, NAMES)


@pytest.mark.parametrize("folder", ["file", "file/out"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, folder):
  (tmp_path / "file").write_text("")
  with pytest.raises(NotADirectoryError, match=f"{tmp_path}/file is a file"):
    destination.check(tmp_path / folder, NAMES)


def test_a_file_in_the_place_of_a_model_is_named(tmp_path):
  (tmp_path / "digits_dynamic").write_text("")
  with pytest.raises(NotADirectoryError, match="digits_dynamic is a file"):
    destination.check(tmp_path, NAMES)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
  (tmp_path / NAMES[-1]).mkdir()
  with pytest.raises(IsADirectoryError, match=f"{NAMES[-1]} is a folder"):
    destination.check(tmp_path, NAMES)


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "..", "a:b", "ä", "a\n"]
)
def test_a_name_is_of_one_folder_and_one_url(tmp_path, name):
  with pytest.raises(ValueError, match="--name"):
    destination.check(tmp_path, [name])


@pytest.mark.parametrize("folder", ["", "new"])
def test_a_folder_that_must_not_be_written_is_named(
    tmp_path, monkeypatch, folder
):
  # Permissions do not bind root, who may run this.
  def refuse(dir):
    raise PermissionError(13, "Permission denied", str(dir))

  monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
  message = f"{tmp_path} cannot be written.*--output_dir"
  with pytest.raises(PermissionError, match=message):
    destination.check(tmp_path / folder, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_refused(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(PermissionError, match="cannot be written"):
    destination.check(tmp_path, NAMES)


def test_description_of_another_shape_is_named(tmp_path):
  path = tmp_path / "export.json"
  path.write_text("null")
  options = run.Options(str(tmp_path), workdir="/no/where", verify_only=True)
  with pytest.raises(ValueError, match=f"{path} is no file of .*it is null"):
    run.run(options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"output_dir": "file"}, NotADirectoryError, "file is a file"),
        ({"name": "a/b"}, ValueError, "--name"),
        ({"keep_probes": "file/a"}, NotADirectoryError, "another --keep_prob"),
        ({"verify_only": True}, FileNotFoundError, "out/export.json"),
    ],
)
def test_an_export_looks_before_it_opens_anything(
    tmp_path, monkeypatch, options, error, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "file").write_text("")
  # There is no such workdir either, which would be said later.
  options = {"output_dir": "out", "workdir": "/no/where", **options}
  with pytest.raises(error, match=message):
    run.run(run.Options(**options))
  assert [path.name for path in tmp_path.iterdir()] == ["file"]
