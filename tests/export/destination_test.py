"""Tests of `export.destination`."""

import errno
import os
import signal
import tempfile

import pytest
import tensorflow as tf

from export import destination
from export import run
from file_io import endings
from file_io import locks

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
        ({"output_dir": "out[x]"}, ValueError, "--output_dir must not hold"),
        ({"keep_probes": "a[x]"}, ValueError, "--keep_probes must not hold"),
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


def _whole(folder, text="whole"):
  folder.mkdir(parents=True)
  (folder / "saved_model.pb").write_text(text)


def _names(folder):
  return {path.name for path in folder.iterdir()}


def test_nothing_of_an_export_is_seen_before_it_is_published(tmp_path):
  (tmp_path / "digits.tflite").write_text("old")
  names = ["digits", "digits.tflite"]
  with destination.staged(tmp_path) as staging:
    _whole(staging / "digits")
    (staging / "digits.tflite").write_text("new")
    assert not (tmp_path / "digits").exists()
    assert (tmp_path / "digits.tflite").read_text() == "old"
    places = destination.publish(staging, tmp_path, names)
  assert places == {"digits": "digits/1", "digits.tflite": "digits.tflite"}
  assert (tmp_path / "digits/1/saved_model.pb").read_text() == "whole"
  assert (tmp_path / "digits.tflite").read_text() == "new"
  assert (tmp_path / "digits.tflite").stat().st_mode & 0o777 == 0o644
  assert _names(tmp_path) == {*names, "models.config", ".lock"}


@pytest.mark.parametrize("folder", ["out[x]", "a?/out", "back\\slash"])
def test_a_folder_that_no_server_could_load_from_is_refused(tmp_path, folder):
  with pytest.raises(ValueError, match="no server could load from it"):
    destination.check(tmp_path / folder, NAMES)
  # TF-Lite files are read by others.
  destination.check(tmp_path / folder, NAMES[2:])


@pytest.mark.parametrize("is_new", [True, False])
def test_an_export_that_fails_leaves_nothing(tmp_path, is_new):
  folder = tmp_path / "out"
  if not is_new:
    _whole(folder / "digits" / "1")
  with pytest.raises(RuntimeError):
    with destination.staged(folder) as staging:
      _whole(staging / "digits")
      (staging / "digits.tflite").write_text("half")
      raise RuntimeError
  if is_new:
    assert not folder.exists()
  else:
    assert _names(folder) == {"digits", ".lock"}
    assert _names(folder / "digits") == {"1"}


def test_a_second_export_is_refused_before_it_begins(tmp_path, monkeypatch):
  monkeypatch.setattr(run, "_written", None)
  options = run.Options(str(tmp_path), workdir="/no/where")
  with destination.staged(tmp_path):
    with pytest.raises(locks.InUse, match=f"at work in {tmp_path}. Wait"):
      run.run(options)


def test_what_killed_exports_have_left_is_removed_and_nothing_else(tmp_path):
  for name in (".exporting-abcd_123/digits/1", ".digits-abcdefg0/whole"):
    _whole(tmp_path / name)
  (tmp_path / ".digits_fixed-01234567").mkdir()
  for name in (".export", ".models", ".a"):
    suffix = {".export": ".json", ".models": ".config"}.get(name, ".tflite")
    (tmp_path / f"{name}-abcdefg0{suffix}").touch()
  _whole(tmp_path / ".notes-abcdefg0")  # Not what an export makes.
  kept = {".a-abcdefg0", ".export-abcdefg0", ".a.tflite", ".a-abcdefg0.json"}
  for name in kept:
    (tmp_path / name).touch()
  with destination.staged(tmp_path) as staging:
    assert _names(tmp_path) == {*kept, ".notes-abcdefg0", ".lock", staging.name}


def test_what_another_export_is_writing_stays(tmp_path):
  with destination.staged(tmp_path) as staging:
    with pytest.raises(locks.InUse):
      with destination.staged(tmp_path):
        pass
    assert staging.is_dir()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "a; No space left on dev"),
    ],
    ids=["system", "quota", "tensorflow"],
)
def test_a_full_disk_is_said_in_words(tmp_path, error):
  message = f"No space on the disk of {tmp_path}.*: .*No space left.*Nothing"
  with pytest.raises(OSError, match=message):
    with destination.naming_full_disk(tmp_path):
      raise error


def test_other_errors_of_the_system_stay_as_they_are(tmp_path):
  with pytest.raises(FileNotFoundError, match="no such"):
    with destination.naming_full_disk(tmp_path):
      raise FileNotFoundError(errno.ENOENT, "no such")


@pytest.mark.usefixtures("heeds_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_stopped_leaves_nothing(tmp_path, number):
  with pytest.raises(SystemExit) as ended:
    with endings.in_one_line("a.program", ""):
      with destination.staged(tmp_path / "out") as staging:
        _whole(staging / "digits")
        signal.raise_signal(number)
  assert ended.value.code == 128 + number
  assert not list(tmp_path.iterdir())
