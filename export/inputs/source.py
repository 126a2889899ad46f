"""What is exported: a trained network, and where its data are."""

from collections.abc import Sequence
import dataclasses
import os
import pathlib

from export.transforms import precision
import image_data
import pgates
from run_data import reader


@dataclasses.dataclass(frozen=True)
class Source:
  """A network and where its data are.

  Args:
    model: a `pgates.GatedModel`.
    dataset: to measure it on.
    image_size: side in pixels that images are resized to, or None.
  """

  model: pgates.GatedModel
  dataset: image_data.ImageDataset | image_data.ImageFolder
  image_size: int | None


def open_source(
    *,
    workdir: str | os.PathLike | None = None,
    model: str | os.PathLike | None = None,
    cascade_after: str | os.PathLike | None = None,
    import_modules: Sequence[str] = (),
    dataset: str | None = None,
    data_dir: str | os.PathLike | None = None,
    image_folder: str | os.PathLike | None = None,
    image_size: int | None = None,
) -> Source:
  """Loads the network of a run, or of a file.

  Args:
    workdir: folder of a finished run, or None.
    model: a `.keras` file, or None.
    cascade_after: folder of the finished run of a cheaper network, which is
      asked first; or None. Neither has gates.
    import_modules: modules that register its custom layers.
    dataset: name of the data set; None for the run's.
    data_dir: of the data sets; None for the run's.
    image_folder: where the images of a run on a folder are now, or of a model;
      or None.
    image_size: side that images are resized to; None for the run's.

  Returns:
    A `Source`, whose model computes in float32.

  Raises:
    FileNotFoundError: if there is no model.
    ValueError: if both or none of workdir and model are given, or a file comes
      without a data set, or a network and its data differ in classes, or a
      run's data have other classes than it was trained on, or two networks
      make no cascade.
  """
  path = _path_of_model(workdir, model)
  settings = reader.read_settings(workdir) if workdir else {}
  place = reader.Place(data_dir, image_folder)
  is_of_run = bool(workdir) and dataset in (None, settings.get("dataset"))
  if not is_of_run:
    dataset = _name_of_other(dataset, place, settings)
  reader.import_modules([*settings.get("import_modules", []), *import_modules])
  loaded = _load(path)
  if is_of_run:
    # A class renamed or moved since would be a wrong label in the export.
    _, opened = reader.open_data(workdir, place)
  else:
    opened = image_data.open_dataset(
        dataset,
        data_dir=data_dir or settings.get("data_dir", ""),
        **reader.rules(settings),
    )
  _check_classes(loaded, opened)
  if cascade_after is not None:
    reader.check_to_read(cascade_after, opened)
    loaded = pgates.cascade(_load_run(cascade_after), loaded)
  return Source(
      precision.in_float32(loaded),
      opened,
      image_size or settings.get("image_size"),
  )


def _name_of_other(dataset, place, settings):
  """The name of data that are not the run's; refuses what does not fit."""
  if place.image_folder is not None:
    if dataset is not None:
      raise ValueError("Give --dataset or --image_folder, not both.")
    path = os.path.abspath(os.path.expanduser(place.image_folder))
    dataset = f"{image_data.FOLDER_PREFIX}{path}"
  if dataset is not None:
    reader.check_data_dir(dataset, place.data_dir)
    is_folder = dataset.startswith(image_data.FOLDER_PREFIX)
    if is_folder or place.data_dir or "data_dir" in settings:
      return dataset
  raise ValueError("--model needs --dataset and --data_dir, or --image_folder.")


def _path_of_model(workdir, model):
  if bool(workdir) == bool(model):
    raise ValueError(
        "Give --workdir or --model, one of them. Received: "
        f"workdir={workdir}, model={model}"
    )
  path = pathlib.Path(model or pathlib.Path(workdir) / "model.keras")
  if not path.expanduser().is_file():
    raise FileNotFoundError(
        f"There is no {path}. Train to the end with `python -m trainers.train "
        "--workdir=...`, or name a .keras file with --model."
    )
  return path.expanduser()


def _load(path):
  model = pgates.load_model(path)
  shape = image_shape(model)
  if len(model.inputs) != 1 or len(shape) != 3 or None in shape:
    raise ValueError(
        "An exported network has one input [batch, height, width, channels] "
        f"of fixed size. Received: {[tuple(i.shape) for i in model.inputs]}"
    )
  return model


def _load_run(workdir):
  """The network of a run, whose own layers are registered before."""
  settings = reader.read_settings(workdir)
  reader.import_modules(settings.get("import_modules", []))
  return _load(_path_of_model(workdir, None))


def image_shape(model: pgates.GatedModel) -> tuple[int, int, int]:
  """`(height, width, channels)` of the images that a network takes."""
  return tuple(model.inputs[0].shape[1:])


def _check_classes(model, dataset):
  num_logits = model.output["logits"].shape[-1]
  if num_logits != dataset.num_classes:
    raise ValueError(
        f"The network has {num_logits} classes; {dataset.name} has "
        f"{dataset.num_classes}. Name its own data set with --dataset."
    )


def open_reference(
    workdir: str | os.PathLike, source: Source
) -> pgates.GatedModel:
  """Loads the network of a run without gates, to compare exports with.

  Args:
    workdir: folder of the finished run.
    source: what is exported.

  Returns:
    Its network, which computes in float32.

  Raises:
    FileNotFoundError: if there is no model.
    ValueError: if it has gates, other images or other classes.
  """
  model = _load_run(workdir)
  if any(block.gate is not None for block in pgates.gated_blocks(model)):
    raise ValueError(
        f"--reference is a run without gates, of trainers.train --gate=none. "
        f"The network of {workdir} has gates."
    )
  _check_classes(model, source.dataset)
  if image_shape(model) != image_shape(source.model):
    raise ValueError(
        f"--reference must take images of shape {image_shape(source.model)}, "
        f"as the exported network. {workdir} takes {image_shape(model)}."
    )
  return precision.in_float32(model)
