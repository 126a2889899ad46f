"""Residual networks with probabilistic gates, for TensorFlow and Keras."""

from pgates.blocks import GatedResidual
from pgates.callbacks import TemperatureSchedule
from pgates.checkpoints import load_torch_state
from pgates.compute import count_macs
from pgates.compute import ModelMacs
from pgates.gates import DataDependentGate
from pgates.gates import DataIndependentGate
from pgates.gates import Gate
from pgates.gates import StochasticDepthGate
from pgates.graphs import gated_blocks
from pgates.graphs import seed_gates
from pgates.layer_costs import layer_macs
from pgates.losses import per_batch_loss
from pgates.losses import per_layer_loss
from pgates.losses import TargetRateLoss
from pgates.measurements import budget_threshold
from pgates.measurements import measure_gates
from pgates.measurements import threshold_curve
from pgates.metrics import class_open_rates
from pgates.metrics import collapsed_share
from pgates.metrics import GateOpenRates
from pgates.metrics import open_rate_variance
from pgates.model import gated_outputs
from pgates.model import GatedModel
from pgates.model_files import load_model
from pgates.normalization import BatchNormalization
from pgates.optimizers import CoupledSGD
from pgates.pruning import prune
from pgates.recalibration import reestimate_batch_norm
from pgates.resnet import CifarResNet
from pgates.resnet import ResNet18
from pgates.resnet import ResNet34
from pgates.resnet import ResNet50
from pgates.resnet import ResNet101
from pgates.resnet import ResNet152
from pgates.rules import with_threshold_input
from pgates.strategies import parse_strategy
from pgates.strategies import STRATEGIES
from pgates.strategies import with_strategy

__all__ = [
    "BatchNormalization",
    "CifarResNet",
    "CoupledSGD",
    "DataDependentGate",
    "DataIndependentGate",
    "Gate",
    "GateOpenRates",
    "GatedModel",
    "GatedResidual",
    "ModelMacs",
    "ResNet101",
    "ResNet152",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "STRATEGIES",
    "StochasticDepthGate",
    "TargetRateLoss",
    "TemperatureSchedule",
    "budget_threshold",
    "class_open_rates",
    "collapsed_share",
    "count_macs",
    "gated_blocks",
    "gated_outputs",
    "layer_macs",
    "load_model",
    "load_torch_state",
    "measure_gates",
    "open_rate_variance",
    "parse_strategy",
    "per_batch_loss",
    "per_layer_loss",
    "prune",
    "reestimate_batch_norm",
    "seed_gates",
    "threshold_curve",
    "with_strategy",
    "with_threshold_input",
]
