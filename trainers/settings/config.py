"""The settings of a training run: one flat, checked record; and presets."""

import dataclasses
import re

import pgates
from pgates.layers import gate_kinds

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("auto", "one_device", "mirrored", "multi_worker")
RATE_LOSSES = ("per_batch", "per_layer", "none")
LEARNING_RATE_SCHEDULES = ("constant", "step", "cosine")
TEMPERATURE_SCHEDULES = ("constant", "linear", "exponential")
NORMALIZATIONS = ("unit", "imagenet", "none")

# Settings that came later, and what runs without them did.
LATER = {"rand_augment": 0.0, "mixup": 0.0}
# Settings that two runs of the same experiment may differ in.
LOCATIONS = ("data_dir",)

_IMAGENET = {
    "dataset": "imagenet2012",
    "image_size": 224,
    "augmentation": "crop_flip",
    "normalization": "imagenet",
    "batch_size": 256,
    "epochs": 100,
    "learning_rate": 0.1,
    "learning_rate_schedule": "step",
    "learning_rate_boundaries": [30, 60, 90],
    "weight_decay": 1e-4,
    "rate_loss_weight": 1.0,
}


def _aig_targets(rate):
  """ConvNet-AIG's published schedule of ResNet-50, by its free rate."""
  first = [1.0, 1.0, 0.8, 1.0, rate, rate, rate, 1.0]
  return [*first, *[rate] * 5, 1.0, 0.7, 1.0]


# Flags that are not given take the preset's value, else the flag's default.
PRESETS = {
    "digits": {
        "dataset": "digits",
        "network": "cifar_resnet14",
        "augmentation": "shift",
        "batch_size": 64,
        "epochs": 30,
        "learning_rate": 0.1,
        "learning_rate_schedule": "cosine",
        "weight_decay": 5e-4,
        "target_rates": [0.6],
        "rate_loss_weight": 2.0,
    },
    "cluttered_digits": {
        "dataset": "cluttered_digits",
        "network": "cifar_resnet20",
        "augmentation": "shift",
        "batch_size": 128,
        "epochs": 12,
        "learning_rate": 0.1,
        "learning_rate_schedule": "cosine",
        "weight_decay": 5e-4,
        "target_rates": [0.6],
        "rate_loss_weight": 2.0,
        # benchmarks/results/tuning_cluttered_digits.md has what was tried.
        "gate_learning_rate_multiplier": 10.0,
        "gate_weight_decay": 0.0,
    },
    # The papers' recipe; its weight decay is PyTorch's, coupled.
    "cifar10_resnet110": {
        "dataset": "cifar10",
        "network": "cifar_resnet110",
        "augmentation": "shift_flip",
        "batch_size": 256,
        "epochs": 350,
        "learning_rate": 0.1,
        "learning_rate_schedule": "step",
        "learning_rate_boundaries": [150, 250],
        "weight_decay": 5e-4,
        "target_rates": [0.6],
        "rate_loss_weight": 2.0,
    },
    # The papers start from trained weights: give --init_from.
    "imagenet_resnet50": {
        **_IMAGENET,
        "network": "resnet50",
        "target_rates": [0.7],
    },
    "imagenet_resnet101": {
        **_IMAGENET,
        "network": "resnet101",
        "target_rates": [0.7],
    },
    # As ResNets are trained lately (Bello et al., arXiv 2103.07579), but for
    # its length.
    "imagenet_resnet50_modern": {
        **_IMAGENET,
        "network": "resnet50",
        "target_rates": [0.7],
        "learning_rate_schedule": "cosine",
        "warmup_epochs": 5.0,
        "label_smoothing": 0.1,
        "ema_momentum": 0.9999,
        "rand_augment": 0.3,
        "mixup": 0.2,
    },
    **{
        f"imagenet_resnet50_aig_{round(100 * rate)}": {
            **_IMAGENET,
            "network": "resnet50",
            "rate_loss": "per_layer",
            "target_rates": _aig_targets(rate),
        }
        for rate in (0.4, 0.5, 0.6, 0.7)
    },
}

_NETWORK = re.compile(r"(cifar_resnet|resnet)(\d+)")
_IMAGENET_DEPTHS = (18, 34, 50, 101, 152)


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that decides what a run computes.

  The fields are the flags of `trainers.train`, which document them.
  """

  dataset: str
  data_dir: str
  image_size: int | None
  augmentation: str
  rand_augment: float
  mixup: float
  network: str
  normalization: str
  gate: str
  always_open: list[int]
  initial_probability: float | None
  temperature: float
  final_temperature: float | None
  temperature_schedule: str
  rate_loss: str
  target_rates: list[float]
  rate_loss_weight: float
  one_sided: bool
  rate_share: str
  batch_size: int
  epochs: int
  learning_rate: float
  learning_rate_schedule: str
  learning_rate_boundaries: list[int]
  learning_rate_decay: float
  warmup_epochs: float
  momentum: float
  weight_decay: float
  gate_learning_rate_multiplier: float
  gate_weight_decay: float | None
  label_smoothing: float
  ema_momentum: float
  seed: int
  precision: str
  jit_compile: bool
  distribution: str
  num_virtual_devices: int
  sync_batch_norm: bool
  init_from: str | None

  def __post_init__(self):
    parse_network(self.network)
    if self.learning_rate_schedule == "step":
      self._check_boundaries()
    if self.temperature_schedule != "constant" and not self.final_temperature:
      raise ValueError(
          f"temperature_schedule={self.temperature_schedule!r} needs "
          "--final_temperature."
      )
    if self.temperature_schedule == "constant" and self.final_temperature:
      raise ValueError(
          "final_temperature needs --temperature_schedule=linear or "
          f"exponential. Received: {self.final_temperature} with 'constant'"
      )
    if self.jit_compile and self.num_virtual_devices > 1:
      raise ValueError(
          "XLA cannot compile a step of several virtual devices: give "
          "--jit_compile or --num_virtual_devices, not both."
      )
    if self.warmup_epochs >= self.epochs:
      raise ValueError(
          "warmup_epochs must be fewer than epochs. Received: "
          f"warmup_epochs={self.warmup_epochs}, epochs={self.epochs}"
      )
    if self.warmup_epochs and self.learning_rate_schedule != "cosine":
      raise ValueError(
          "warmup_epochs is for --learning_rate_schedule=cosine. Received: "
          f"warmup_epochs={self.warmup_epochs}, learning_rate_schedule="
          f"{self.learning_rate_schedule!r}"
      )
    if not self.target_rates:
      raise ValueError("--target_rates needs a rate, or one for each block.")
    if len(self.target_rates) != 1 and self.rate_loss != "per_layer":
      raise ValueError(
          "One target rate is for the whole network; a list, one for each "
          "block, needs --rate_loss=per_layer. Received: target_rates="
          f"{self.target_rates}, rate_loss={self.rate_loss!r}"
      )
    others = ("one_device", "multi_worker")
    if self.num_virtual_devices > 1 and self.distribution in others:
      raise ValueError(
          "num_virtual_devices is for --distribution=mirrored. Received: "
          f"{self.num_virtual_devices} with distribution={self.distribution!r}"
      )

  def _check_boundaries(self):
    boundaries = self.learning_rate_boundaries
    rising = all(
        a < b for a, b in zip(boundaries, boundaries[1:], strict=False)
    )
    if not boundaries or not rising or boundaries[0] < 1:
      raise ValueError(
          "learning_rate_schedule='step' needs rising epochs in "
          f"--learning_rate_boundaries. Received: {boundaries}"
      )

  @property
  def soft_labels(self):
    """Whether labels are probabilities, not classes."""
    return bool(self.label_smoothing or self.mixup)

  @property
  def learned_gates(self):
    """Whether the gates have anything to learn."""
    return gate_kinds.is_learned(self.gate)


def parse_network(name):
  """Splits `cifar_resnet110` or `resnet50` into family and depth.

  Args:
    name: of a network.

  Returns:
    `("cifar_resnet", 110)`.

  Raises:
    ValueError: if there is no such network.
  """
  match = _NETWORK.fullmatch(name)
  family, depth = (match[1], int(match[2])) if match else (None, 0)
  known = family == "cifar_resnet" and depth >= 8 and depth % 6 == 2
  if not known and not (family == "resnet" and depth in _IMAGENET_DEPTHS):
    raise ValueError(
        "network must be resnet18, 34, 50, 101 or 152, or cifar_resnet with a "
        f"depth of 6n + 2 (8, 14, 20, ...). Received: {name!r}"
    )
  return family, depth


def always_open_blocks(config):
  """Indices of blocks that always run: those asked for, and targets of 1."""
  targets = config.target_rates if len(config.target_rates) > 1 else []
  ones = {i for i, target in enumerate(targets) if target == 1}
  return sorted(set(config.always_open) | ones)


def rate_loss(config):
  """The `pgates.TargetRateLoss` of a configuration, or None."""
  if not config.learned_gates or config.rate_loss == "none":
    return None
  targets = config.target_rates
  return pgates.TargetRateLoss(
      targets if len(targets) > 1 else targets[0],
      kind=config.rate_loss,
      weight=config.rate_loss_weight,
      one_sided=config.one_sided,
      share=config.rate_share,
  )


def to_flags(config):
  """The arguments that `trainers.train` makes a configuration from.

  Args:
    config: a `Config`.

  Returns:
    A list of strings.
  """
  arguments = []
  for name, value in dataclasses.asdict(config).items():
    if isinstance(value, bool):
      arguments.append(f"--{name}" if value else f"--no{name}")
    elif isinstance(value, list):
      arguments.append(f"--{name}={','.join(map(str, value))}")
    elif value is not None:
      arguments.append(f"--{name}={value}")
  return arguments


def differences(ours, theirs):
  """Settings that two runs differ in, but for where the data lie.

  Args:
    ours: dict of settings.
    theirs: the same of another run.

  Returns:
    A list of lines, `name: theirs there, ours here`.
  """
  # Of runs from before there was the setting.
  theirs = {k: v for k, v in LATER.items() if k in ours} | theirs
  return [
      f"{name}: {theirs.get(name)!r} there, {ours.get(name)!r} here"
      for name in sorted(set(ours) | set(theirs))
      if name not in LOCATIONS and ours.get(name) != theirs.get(name)
  ]
