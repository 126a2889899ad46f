"""Tests of `export.inputs.labels`."""

import pytest

from export.inputs import labels
import image_data


@pytest.fixture(scope="module")
def dataset(data_dir):
  return image_data.open_dataset("digits", data_dir=data_dir)


def test_class_names_are_those_of_the_data_or_of_a_file(dataset, tmp_path):
  assert labels.class_names(None, dataset) == [str(i) for i in range(10)]
  path = tmp_path / "labels.txt"
  path.write_text("\n".join(["a cat", *"bcdefghij"]) + "\n")
  assert labels.class_names(path, dataset) == ["a cat", *"bcdefghij"]
  path.write_text("zero\none\n")
  with pytest.raises(ValueError, match="has 2 lines; digits has 10 classes"):
    labels.class_names(path, dataset)


def test_byte_order_mark_is_no_part_of_the_first_name(dataset, tmp_path):
  path = tmp_path / "labels.txt"
  path.write_text("\n".join(["zéro", *"bcdefghij"]), "utf-8-sig")
  assert labels.class_names(path, dataset) == ["zéro", *"bcdefghij"]


def test_file_that_is_not_utf8_is_named(dataset, tmp_path):
  path = tmp_path / "labels.txt"
  path.write_text("\n".join(["zéro", *"bcdefghij"]), "latin-1")
  with pytest.raises(ValueError, match="--labels: .*labels.txt is not UTF-8"):
    labels.class_names(path, dataset)
