"""The settings of a training run: one flat, checked record.

A new setting is one field here: its default, help text, bounds and flag. The
fields are documented by their help texts, which `--help` shows.
"""

import dataclasses
import os

import image_data
from pgates.layers import gate_kinds
from pgates.networks import network_files
from pgates.networks import networks
from pgates.training import distillation
from pgates.training import losses
from trainers.settings import combinations
from trainers.settings import network_arguments
from trainers.settings import setting

RATE_SHARES = (*losses.SHARES, "time")
RATE_LOSSES = ("per_batch", "per_layer", "none")
SCHEDULES = ("constant", "step", "cosine")
TEMPERATURE_SCHEDULES = ("constant", "linear", "exponential")
NORMALIZATIONS = ("unit", "imagenet", "none")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("auto", "one_device", "mirrored", "multi_worker")

_field = setting.field


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """Everything that decides what a run computes."""

  dataset: str = _field(
      "digits", "A TFDS name; digits and cluttered_digits are ours"
  )
  data_dir: str = _field(
      os.path.expanduser("~/tensorflow_datasets"),
      "The folder of the data sets prepared by TensorFlow Datasets.",
  )
  image_size: int | None = _field(
      None, "Side in pixels to resize to", kind=int, lowest=1
  )
  idx_folder: str | None = _field(
      None,
      "The IDX files of MNIST, Fashion-MNIST, KMNIST or EMNIST, where TFDS has "
      "not prepared it",
      kind=str,
      is_path=True,
  )
  validation_share: float = _field(
      image_data.SplitShares.validation,
      "Of the images of an --image_folder without such a folder",
      lowest=0.0,
      highest=1.0,
  )
  test_share: float = _field(
      image_data.SplitShares.test,
      "Of the images of an --image_folder without such a folder",
      lowest=0.0,
      highest=1.0,
  )
  exif_orientation: bool = _field(
      True, "Turn JPEG images as their EXIF block says; false: as stored"
  )
  max_image_pixels: int = _field(
      image_data.DecodingRules.max_pixels,
      "Images of more are not decoded, but bad examples",
      lowest=1,
  )
  augmentation: str = _field(
      "none", "Of training images", choices=sorted(image_data.AUGMENTATIONS)
  )
  rand_augment: float = _field(
      0.0,
      "Magnitude of RandAugment (KerasCV's operations), 0: none",
      lowest=0.0,
      highest=1.0,
  )
  mixup: float = _field(
      0.0, "MixUp's alpha, 0: none", lowest=0.0, highest=100.0
  )
  network: str = _field(
      "cifar_resnet20",
      "resnet18 ... 152 or cifar_resnet8, 14 ...; or a residual network of "
      "keras.applications as Keras spells it, as in MobileNetV2, whose own "
      "preprocessing becomes part of it; or a trained classifier of your own, "
      "file:PATH.keras",
  )
  network_args: list[str] = _field(
      [],
      "Arguments of a network of keras.applications, as in alpha=0.35",
      kind=str,
  )
  input_scaling: str | None = _field(
      None,
      "What a network of file: takes: pixels in 0..255, unit in 0..1; tf, "
      "torch or caffe as Keras's preprocess_input. One with a Rescaling or "
      "Normalization of its own takes pixels",
      kind=str,
      choices=tuple(network_files.SCALINGS),
  )
  new_head: bool = _field(
      False, "Replace the last dense layer of a network of file: by a fresh one"
  )
  import_modules: list[str] = _field(
      [], "That register the layers of a network of file:", kind=str
  )
  normalization: str = _field(
      "unit",
      "Of 0..255 images, in a network of ours",
      choices=NORMALIZATIONS,
  )

  gate: str = _field("dependent", "Kind of the gates", choices=gate_kinds.NAMES)
  always_open: list[int] = _field(
      [], "Blocks without a gate, by index from 0", kind=int, lowest=0
  )
  initial_probability: float | None = _field(
      None,
      "P(open) at the start; default 0.95 on trained weights (--init_from, "
      "file:), else 0.87 dependent, 0.98 independent",
      kind=float,
      lowest=1e-6,
      highest=1 - 1e-6,
  )
  temperature: float = _field(1.0, "Of the relaxed gates", lowest=1e-3)
  final_temperature: float | None = _field(
      None, "At the last step", kind=float, lowest=1e-3
  )
  temperature_schedule: str = _field(
      "constant",
      "From --temperature to --final_temperature",
      choices=TEMPERATURE_SCHEDULES,
  )

  rate_loss: str = _field("per_batch", "On open gates", choices=RATE_LOSSES)
  target_rates: list[float] = _field(
      [0.6], "One, or (per_layer) one for each block", lowest=0.0, highest=1.0
  )
  rate_loss_weight: float = _field(1.0, "Of the rate loss", lowest=0.0)
  gate_warmup_epochs: float = _field(
      0.0, "Of a linear rise of the rate loss's weight from 0", lowest=0.0
  )
  one_sided: bool = _field(False, "Punish only rates above the target")
  rate_share: str = _field(
      "gates",
      "What the rate is a share of; time: of the branches, one example at a "
      "time, measured when the run begins",
      choices=RATE_SHARES,
  )

  batch_size: int = _field(128, "Examples of a global batch", lowest=1)
  epochs: int = _field(
      10, "Passes over the training images; 0: the network as it is", lowest=0
  )
  learning_rate: float = _field(0.1, "At its highest", lowest=0.0)
  learning_rate_schedule: str = _field(
      "cosine",
      "constant, step (see the next two) or cosine (to 0)",
      choices=SCHEDULES,
  )
  learning_rate_boundaries: list[int] = _field(
      [], "Epochs of the steps", kind=int, lowest=1
  )
  learning_rate_decay: float = _field(0.1, "Factor of each step", lowest=0.0)
  warmup_epochs: float = _field(0.0, "Of a linear rise from 0", lowest=0.0)
  momentum: float = _field(0.9, "Of SGD", lowest=0.0, highest=1.0)
  weight_decay: float = _field(
      0.0, "PyTorch's, coupled: added to the gradient", lowest=0.0
  )
  gate_learning_rate_multiplier: float = _field(
      1.0, "The gates' learning rate over the others'", lowest=0.0
  )
  gate_weight_decay: float | None = _field(
      None, "Of gates; default --weight_decay", kind=float, lowest=0.0
  )
  label_smoothing: float = _field(0.0, "In [0, 1]", lowest=0.0, highest=1.0)
  ema_momentum: float = _field(
      0.0,
      "Of an average of the weights, used for validation and in model.keras; "
      "0: none",
      lowest=0.0,
      highest=0.999999,
  )

  seed: int = _field(0, "Of weights, order and noise", lowest=0)
  precision: str = _field("float32", "Keras dtype policy", choices=PRECISIONS)
  jit_compile: bool = _field(False, "Compile the step with XLA")
  distribution: str = _field(
      "auto",
      "auto: mirrored where there are several GPUs or virtual devices; "
      "multi_worker: the processes of TF_CONFIG",
      choices=DISTRIBUTIONS,
  )
  num_virtual_devices: int = _field(1, "Split the CPU into so many", lowest=1)
  sync_batch_norm: bool = _field(False, "Batch statistics over all replicas")
  init_from: str | None = _field(
      None,
      "Weights to start from: a workdir; a .keras file; .safetensors, .npz or "
      ".pth with torchvision's, timm's or ConvNet-AIG's names. Gates start "
      "fresh, but for ConvNet-AIG's",
      kind=str,
      is_path=True,
  )
  distill_from: str | None = _field(
      None,
      "A workdir or a .keras file of ours, whose network's logits are imitated",
      kind=str,
      is_path=True,
  )
  distill_weight: float = _field(
      distillation.WEIGHT,
      "Of the imitation (--distill_from); the labels' is 1 less it",
      lowest=0.0,
      highest=1.0,
  )
  distill_temperature: float = _field(
      distillation.TEMPERATURE,
      "That softens both networks' logits (--distill_from)",
      lowest=1e-3,
  )

  def __post_init__(self):
    for name, (each, _) in setting.settings_of(self).items():
      each.check(name, getattr(self, name))
    networks.check_name(self.network)
    networks.check_arguments(self.network, self.network_arguments)
    combinations.check(self)

  @property
  def network_arguments(self) -> dict[str, network_arguments.Argument]:
    """What `network_args` say, by name."""
    return network_arguments.parse(self.network_args)

  @property
  def soft_labels(self) -> bool:
    """Whether labels are probabilities, not classes."""
    return bool(self.label_smoothing or self.mixup)

  @property
  def learned_gates(self) -> bool:
    """Whether the gates have anything to learn."""
    return gate_kinds.is_learned(self.gate)
