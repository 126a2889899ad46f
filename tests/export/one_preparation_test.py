"""Evaluation, serving and the checks of an export prepare images alike."""

import io

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from export import variants
from export.checks import check_requests
from export.decisions import dropped_blocks
from export.saved_model import serving
import image_data
import pgates
from tests.helpers import gated_networks
from tests.helpers import parameters

SIDE = 8


class _ServerOfPixels(serving.Server):
  """Answers with the images that its network would get."""

  def _serve_images(self, images):
    return {"images": images}


class _NetworkOfPixels:

  def predict_on_batch(self, images):
    return {"images": images}


@pytest.fixture(scope="module")
def model():
  return gated_networks.resnet()


def _asked(model, preparation):
  """Files of an odd size, PNG and JPEG, and what the checks expect of them."""
  requests = check_requests.make(
      variants.Variant("fixed", "saved_model"),
      dropped_blocks.Decided(
          model, pgates.parse_strategy("always_open"), _NetworkOfPixels()
      ),
      gated_networks.images(2),
      preparation=preparation,
  )
  _, inputs, expected, _ = requests["other_sizes"]
  return inputs["image_bytes"].tolist(), expected["images"]


def _served(model, files, preparation, folder):
  (folder / "asset").write_text("{}")
  asset = folder / "asset"
  server = _ServerOfPixels(
      *(model, "map"), labels=asset, gates=asset, preparation=preparation
  )
  answer = server.signatures()["serving_bytes"](image_bytes=np.array(files))
  return answer["images"].numpy()


def _store_folder(files, folder):
  """A data set whose images are said to differ in size."""
  suffixes = [".jpg" if b.startswith(b"\xff\xd8") else ".png" for b in files]
  for split in ("train", "validation", "test"):
    for i, content in enumerate(files):
      path = folder / split / "ant" / f"{i}{suffixes[i]}"
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(content)
  return image_data.ImageFolder(folder)


def _store_records(files, folder):
  """A data set whose images are said to be of one size."""
  features = tfds.features.FeaturesDict(
      {
          "image": tfds.features.Image(shape=(37, 53, 3)),
          "label": tfds.features.ClassLabel(num_classes=2),
      }
  )
  tfds.dataset_builders.store_as_tfds_dataset(
      name="stored",
      version="1.0.0",
      features=features,
      split_datasets={
          split: [
              (i, {"image": io.BytesIO(content), "label": 0})
              for i, content in enumerate(files)
          ]
          for split in ("train", "validation", "test")
      },
      data_dir=folder,
  )
  return image_data.open_dataset("stored", data_dir=folder)


def _sorted(images):
  return sorted(image.tolist() for image in images)


@pytest.mark.parametrize(
    ("store", "center_crop"),
    parameters.slow_after(1, [(_store_folder, True), (_store_records, False)]),
)
def test_files_of_odd_size_are_the_same_pixels_three_times(
    store, center_crop, model, tmp_path
):
  files, expected = _asked(
      model, image_data.EvaluationPreparation((SIDE, SIDE, 3), center_crop)
  )
  assert len(files) == 2 and expected.shape == (2, SIDE, SIDE, 3)
  dataset = store(files, tmp_path / "data")
  preparation = image_data.EvaluationPreparation.of_dataset(
      dataset, image_size=SIDE
  )
  served = _served(model, files, preparation, tmp_path)
  np.testing.assert_array_equal(served, expected)
  (batch,) = image_data.eval_batches(
      dataset, "test", batch_size=2, image_size=SIDE
  )
  # A data set has an order of its own.
  assert _sorted(batch[0].numpy()) == _sorted(expected)


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance"),
    [
        ("PNG", "RGB", 0),
        pytest.param("PNG", "L", 0, marks=pytest.mark.slow),
        pytest.param("PNG", "P", 0, marks=pytest.mark.slow),
        pytest.param("GIF", "RGB", 0, marks=pytest.mark.slow),
        pytest.param("BMP", "RGB", 0, marks=pytest.mark.slow),
        pytest.param("BMP", "P", 0, marks=pytest.mark.slow),
        pytest.param("WEBP", "RGB", 0, marks=pytest.mark.slow),
        ("JPEG", "RGB", 3),
    ],
)
def test_network_of_one_channel_is_served_the_grey_of_pil(
    kind, mode, tolerance, tmp_path
):
  pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))
  image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
  stream = io.BytesIO()
  options = {"lossless": True} if kind == "WEBP" else {}
  image.save(stream, kind, **options)
  read = Image.open(stream).convert("RGB").convert("L")
  model = pgates.CifarResNet(8, 10, input_shape=(SIDE, SIDE, 1))
  (served,) = _served(model, [stream.getvalue()], None, tmp_path)
  np.testing.assert_allclose(
      served[..., 0], np.asarray(read, np.float32), atol=tolerance
  )


def _photograph(path):
  """A JPEG file that was taken in portrait: red above, blue below."""
  upright = np.zeros((16, 8, 3), np.uint8)
  upright[:8, :, 0] = upright[8:, :, 2] = 200
  exif = Image.Exif()
  exif[0x0112] = 6
  stored = np.ascontiguousarray(np.rot90(upright))
  Image.fromarray(stored).save(path, "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize(
    "turns", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_photographs_stand_alike_in_training_evaluation_and_serving(
    turns, model, tmp_path
):
  for split in ("train", "validation", "test"):
    (tmp_path / "data" / split / "ant").mkdir(parents=True)
    _photograph(tmp_path / "data" / split / "ant" / "0.jpg")
  rules = image_data.DecodingRules(exif_orientation=turns)
  dataset = image_data.open_dataset(
      f"image_folder:{tmp_path / 'data'}", data_dir="", decoding_rules=rules
  )
  preparation = image_data.EvaluationPreparation.of_dataset(
      dataset, image_size=SIDE
  )
  content = (tmp_path / "data" / "test" / "ant" / "0.jpg").read_bytes()
  served = _served(model, [content], preparation, tmp_path)[0]
  ((images, _),) = image_data.eval_batches(
      dataset, "test", batch_size=1, image_size=SIDE
  )
  np.testing.assert_array_equal(served, images[0])
  trained = image_data.TrainingPreparation(image_size=SIDE)
  (batch,) = image_data.train_batches(
      dataset, batch_size=1, seed=0, preparation=trained
  ).take(1)
  for image in (served, batch[0][0]):
    above, below = np.mean(image[:2], (0, 1)), np.mean(image[-2:], (0, 1))
    assert (above[0] > 180 and below[2] > 180) == turns
