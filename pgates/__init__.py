"""Residual networks with probabilistic gates, for TensorFlow and Keras."""

from pgates.costs.branch_times import branch_times
from pgates.costs.layer_costs import layer_macs
from pgates.costs.model_macs import count_macs
from pgates.costs.model_macs import ModelMacs
from pgates.graphs import gated_blocks
from pgates.graphs import gated_calls
from pgates.graphs import gated_outputs
from pgates.graphs import seed_gates
from pgates.inference.budgets import budget_threshold
from pgates.inference.collection import collect
from pgates.inference.measurements import measure_gates
from pgates.inference.measurements import threshold_curve
from pgates.inference.pruning import prune
from pgates.inference.recalibration import reestimate_batch_norm
from pgates.inference.ruled_models import with_threshold_input
from pgates.inference.strategies import EXAMPLES as STRATEGY_EXAMPLES
from pgates.inference.strategies import parse_strategy
from pgates.inference.strategies import STRATEGIES
from pgates.inference.strategies import with_strategy
from pgates.inference.strategy import Strategy
from pgates.layers.blocks import GatedResidual
from pgates.layers.confidence_gate import ConfidenceGate
from pgates.layers.data_dependent_gate import DataDependentGate
from pgates.layers.data_independent_gate import DataIndependentGate
from pgates.layers.gates import Gate
from pgates.layers.hard_concrete_gate import HardConcreteGate
from pgates.layers.normalization import BatchNormalization
from pgates.layers.stochastic_depth_gate import StochasticDepthGate
from pgates.model_files import load_model
from pgates.networks.cascades import cascade
from pgates.networks.networks import build_network
from pgates.networks.resnet import CifarResNet
from pgates.networks.resnet import ResNet18
from pgates.networks.resnet import ResNet34
from pgates.networks.resnet import ResNet50
from pgates.networks.resnet import ResNet101
from pgates.networks.resnet import ResNet152
from pgates.networks.torch_weights import load_torch_state
from pgates.residuals.finding import find_residuals
from pgates.residuals.finding import Residual
from pgates.residuals.finding import Residuals
from pgates.residuals.gating import gate_residuals
from pgates.training.callbacks import TemperatureSchedule
from pgates.training.distillation import Distillation
from pgates.training.losses import per_batch_loss
from pgates.training.losses import per_layer_loss
from pgates.training.losses import TargetRateLoss
from pgates.training.metrics import class_open_rates
from pgates.training.metrics import collapsed_share
from pgates.training.metrics import GateOpenRates
from pgates.training.metrics import open_rate_variance
from pgates.training.model import GatedModel
from pgates.training.optimizers import CoupledSGD

__all__ = [
    "BatchNormalization",
    "CifarResNet",
    "ConfidenceGate",
    "CoupledSGD",
    "DataDependentGate",
    "DataIndependentGate",
    "Distillation",
    "Gate",
    "GateOpenRates",
    "GatedModel",
    "GatedResidual",
    "HardConcreteGate",
    "ModelMacs",
    "ResNet101",
    "ResNet152",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "Residual",
    "Residuals",
    "STRATEGIES",
    "STRATEGY_EXAMPLES",
    "StochasticDepthGate",
    "Strategy",
    "TargetRateLoss",
    "TemperatureSchedule",
    "branch_times",
    "budget_threshold",
    "build_network",
    "cascade",
    "class_open_rates",
    "collapsed_share",
    "collect",
    "count_macs",
    "find_residuals",
    "gate_residuals",
    "gated_blocks",
    "gated_calls",
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
