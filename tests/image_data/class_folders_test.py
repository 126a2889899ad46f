"""Tests of `image_data.class_folders`; `image_folder_test` has its warnings."""

import pytest

from image_data import class_folders


def _make(folder, files):
  for file in files:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).touch()


def test_images_of_each_class_are_listed_in_order(tmp_path):
  _make(
      tmp_path,
      [
          "bee/b.JPG",
          "bee/a.webp",
          "bee/notes.txt",
          "bee/.hidden.png",
          "bee/more/c.png",
          "ant/1.gif",
          ".git/x.png",
          "__MACOSX/x.png",
          "loose.png",
      ],
  )
  assert class_folders.read(tmp_path) == {
      "ant": [f"{tmp_path}/ant/1.gif"],
      "bee": [f"{tmp_path}/bee/a.webp", f"{tmp_path}/bee/b.JPG"],
  }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["ant/a.png", "bee/b.txt"], "the classes bee is without images"),
        (["a.png"], "it is without images. Expected CLASS/NAME"),
        (["ant\nbee/a.png"], "holds a line break"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path, files, message):
  _make(tmp_path, files)
  with pytest.raises(ValueError, match=message):
    class_folders.read(tmp_path)
