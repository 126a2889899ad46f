"""Tests of `file_io.paths`."""

import os

import pytest

from file_io import paths

LOCAL = ["runs/a", "/runs/a", "C:a", "a:b//c", "measured", ""]


@pytest.mark.parametrize("path", LOCAL)
def test_local_paths_stay_as_they_are(path):
  assert paths.local(path) == paths.of_data(path) == path


def test_home_is_expanded():
  home = os.path.expanduser("~")
  assert home != "~"
  assert paths.local("~/a") == paths.of_data("~/a") == f"{home}/a"


@pytest.mark.parametrize(
    "scheme", ["gs://", "s3://", "hdfs://", "file://", "http://", "az://"]
)
def test_other_file_systems_are_refused_by_their_scheme(scheme):
  with pytest.raises(ValueError, match=f"^{scheme} is no file system of this"):
    paths.local(f"{scheme}bucket/run")


@pytest.mark.parametrize("path", ["gs://bucket/~", "s3://bucket/tfds"])
def test_data_may_lie_where_tfds_reads_them(path):
  assert paths.of_data(path) == path and paths.is_remote(path)


def test_data_do_not_lie_where_tfds_reads_none():
  with pytest.raises(ValueError, match="^hdfs:// is no file system"):
    paths.of_data("hdfs://host/tfds")


@pytest.mark.parametrize("path", ["seed[1]", "a*", "a?/b", "back\\slash"])
def test_patterns_are_what_tensorflow_matches_files_by(path, tmp_path):
  assert paths.is_pattern(path) and paths.is_pattern(tmp_path / path)
  assert not paths.is_pattern(tmp_path / "seed (1]~{a}")
