"""Flags of a training run, and the configuration they make."""

import os

from absl import flags

import image_data
from pgates.layers import gate_kinds
from pgates.training import losses
from trainers.settings import config as config_lib
from trainers.settings import flags as shared_flags

_PRESET = flags.DEFINE_enum(
    "preset",
    None,
    sorted(config_lib.PRESETS),
    "A whole recipe; flags given beside it override its values.",
)


_IMAGE_FOLDER = flags.DEFINE_string(
    "image_folder",
    None,
    "A folder train/CLASS/*.jpg (and val, test), instead of --dataset",
)


def _define():
  """Defines one flag for each field of `Config`."""
  integer, number = flags.DEFINE_integer, flags.DEFINE_float
  text, choice = flags.DEFINE_string, flags.DEFINE_enum
  switch = flags.DEFINE_bool

  text("dataset", "digits", "A TFDS name; digits and cluttered_digits are ours")
  integer("image_size", None, "Side in pixels to resize to", lower_bound=1)
  choice(
      "augmentation",
      "none",
      sorted(image_data.AUGMENTATIONS),
      "Of training images",
  )
  number(
      "rand_augment",
      0.0,
      "Magnitude of RandAugment (KerasCV's operations), 0: none",
      lower_bound=0.0,
      upper_bound=1.0,
  )
  number(
      "mixup", 0.0, "MixUp's alpha, 0: none", lower_bound=0.0, upper_bound=100.0
  )
  text("network", "cifar_resnet20", "resnet18 ... 152 or cifar_resnet8, 14 ...")
  choice("normalization", "unit", config_lib.NORMALIZATIONS, "Of 0..255 images")

  choice("gate", "dependent", gate_kinds.NAMES, "Kind of the gates")
  flags.DEFINE_list("always_open", [], "Blocks without a gate, by index from 0")
  number(
      "initial_probability",
      None,
      "P(open) at the start; default 0.87 dependent, 0.98 independent",
      lower_bound=1e-6,
      upper_bound=1 - 1e-6,
  )
  number("temperature", 1.0, "Of the relaxed gates", lower_bound=1e-3)
  number("final_temperature", None, "At the last step", lower_bound=1e-3)
  choice(
      "temperature_schedule",
      "constant",
      config_lib.TEMPERATURE_SCHEDULES,
      "From --temperature to --final_temperature",
  )

  choice("rate_loss", "per_batch", config_lib.RATE_LOSSES, "On open gates")
  flags.DEFINE_list(
      "target_rates", ["0.6"], "One, or (per_layer) one for each block"
  )
  number("rate_loss_weight", 1.0, "Of the rate loss", lower_bound=0.0)
  switch("one_sided", False, "Punish only rates above the target")
  choice("rate_share", "gates", losses.SHARES, "What the rate is a share of")

  integer("batch_size", 128, "Examples of a global batch", lower_bound=1)
  integer("epochs", 10, "Passes over the training images", lower_bound=1)
  number("learning_rate", 0.1, "At its highest", lower_bound=0.0)
  choice(
      "learning_rate_schedule",
      "cosine",
      config_lib.LEARNING_RATE_SCHEDULES,
      "constant, step (see the next two) or cosine (to 0)",
  )
  flags.DEFINE_list("learning_rate_boundaries", [], "Epochs of the steps")
  number("learning_rate_decay", 0.1, "Factor of each step", lower_bound=0.0)
  number("warmup_epochs", 0.0, "Of a linear rise from 0", lower_bound=0.0)
  number("momentum", 0.9, "Of SGD", lower_bound=0.0, upper_bound=1.0)
  number(
      "weight_decay",
      0.0,
      "PyTorch's, coupled: added to the gradient",
      lower_bound=0.0,
  )
  number(
      "gate_learning_rate_multiplier",
      1.0,
      "The gates' learning rate over the others'",
      lower_bound=0.0,
  )
  number(
      "gate_weight_decay",
      None,
      "Of gates; default --weight_decay",
      lower_bound=0.0,
  )
  number("label_smoothing", 0.0, "In [0, 1]", lower_bound=0.0, upper_bound=1.0)
  number(
      "ema_momentum",
      0.0,
      "Of an average of the weights, used for validation and in model.keras; "
      "0: none",
      lower_bound=0.0,
      upper_bound=0.999999,
  )

  integer("seed", 0, "Of weights, order and noise", lower_bound=0)
  choice("precision", "float32", config_lib.PRECISIONS, "Keras dtype policy")
  switch("jit_compile", False, "Compile the step with XLA")
  choice(
      "distribution",
      "auto",
      config_lib.DISTRIBUTIONS,
      "auto: mirrored where there are several GPUs or virtual devices; "
      "multi_worker: the processes of TF_CONFIG",
  )
  integer("num_virtual_devices", 1, "Split the CPU into so many", lower_bound=1)
  switch("sync_batch_norm", False, "Batch statistics over all replicas")
  text(
      "init_from",
      None,
      "Weights to start from: a workdir; a .keras file; .safetensors, .npz or "
      ".pth with torchvision's, timm's or ConvNet-AIG's names. Gates start "
      "fresh, but for ConvNet-AIG's",
  )


_define()

_LISTS = {
    "always_open": int,
    "target_rates": float,
    "learning_rate_boundaries": int,
}


def config_from_flags():
  """The configuration: a flag, else the preset's value, else the default.

  Returns:
    A `Config`.

  Raises:
    ValueError: if the settings do not fit together.
  """
  return config_lib.Config(**settings_from_flags())


def settings_from_flags():
  """The fields of `config_from_flags`, not yet held against each other.

  Returns:
    A dict.

  Raises:
    ValueError: if a list is not one of numbers.
  """
  values = flags.FLAGS
  preset = config_lib.PRESETS[_PRESET.value] if _PRESET.value else {}
  settings = {}
  for name in config_lib.Config.__dataclass_fields__:
    given = values[name].present
    settings[name] = values[name].value
    if name in preset and not given:
      settings[name] = preset[name]
    elif name in _LISTS:
      settings[name] = _numbers(name, settings[name], _LISTS[name])
  if _IMAGE_FOLDER.value:
    if values["dataset"].present:
      raise ValueError("Give --dataset or --image_folder, not both.")
    folder = os.path.abspath(os.path.expanduser(_IMAGE_FOLDER.value))
    settings["dataset"] = image_data.FOLDER_PREFIX + folder
  data_dir = shared_flags.DATA_DIR.value
  settings["data_dir"] = os.path.abspath(os.path.expanduser(data_dir))
  if settings["init_from"]:
    path = os.path.expanduser(settings["init_from"])
    settings["init_from"] = os.path.abspath(path)
  return settings


def _numbers(name, texts, kind):
  try:
    return [kind(text) for text in texts]
  except ValueError as error:
    wanted = "whole numbers" if kind is int else "numbers"
    raise ValueError(
        f"--{name} takes {wanted} between commas. Received: {','.join(texts)}"
    ) from error
