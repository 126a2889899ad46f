"""Whole recipes, by name; a flag that is given overrides their value."""

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
    "fashion": {
        "dataset": "fashion_mnist",
        "network": "cifar_resnet20",
        "augmentation": "shift_flip",
        "batch_size": 128,
        "epochs": 16,
        "learning_rate": 0.1,
        "learning_rate_schedule": "cosine",
        "weight_decay": 5e-4,
        "target_rates": [0.5],
        "rate_loss_weight": 2.0,
        # As of cluttered_digits.
        "gate_learning_rate_multiplier": 10.0,
        "gate_weight_decay": 0.0,
    },
    # A network of Keras's, plain, then gated from it (`trainers.compare` with
    # --methods=ungated,ungated_longer,warm_per_batch_dependent).
    "digits_mobilenet": {
        "dataset": "cluttered_digits",
        "image_size": 32,
        "network": "MobileNetV2",
        "network_args": ["alpha=0.35"],
        "augmentation": "shift",
        "batch_size": 128,
        "epochs": 60,
        "learning_rate": 0.01,
        "learning_rate_schedule": "cosine",
        "weight_decay": 1e-4,
        "target_rates": [0.1],
        "rate_share": "macs",
        "rate_loss_weight": 4.0,
        "gate_learning_rate_multiplier": 10.0,
        "gate_weight_decay": 0.0,
    },
    # Gates on a trained network; trainers.accelerate tries several targets.
    "warm_start": {
        "augmentation": "shift",
        "batch_size": 32,
        "epochs": 12,
        # docs/results.md has what was tried.
        "learning_rate": 0.003,
        "learning_rate_schedule": "cosine",
        "weight_decay": 1e-4,
        "target_rates": [0.6],
        "rate_share": "macs",
        "rate_loss_weight": 4.0,
        "gate_learning_rate_multiplier": 30.0,
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
