"""SGD as in the PyTorch recipes of the papers."""

from collections.abc import Sequence
import math
import re
from typing import Any

import keras
import tensorflow as tf

from pgates.layers import gates
from pgates.layers import replicas


@keras.saving.register_keras_serializable(package="pgates")
class CoupledSGD(keras.optimizers.SGD):
  """Momentum SGD with coupled weight decay, and settings for gates.

  PyTorch adds `decay * variable` to the gradient, before momentum. Keras's
  `weight_decay` is decoupled, and about ten times weaker at momentum 0.9.

  Args:
    learning_rate: a number or a schedule.
    coupled_weight_decay: factor of the term added to the gradient.
    gate_learning_rate_multiplier: the gates' learning rate over the others'.
    gate_weight_decay: of gates; None for `coupled_weight_decay`.
    **kwargs: of `keras.optimizers.SGD`. Clipping sees gradients with decay and
      multiplier in them.

  Raises:
    ValueError: if a number is negative or not finite.
  """

  def __init__(
      self,
      learning_rate: (
          float | keras.optimizers.schedules.LearningRateSchedule
      ) = 0.01,
      *,
      coupled_weight_decay: float = 0.0,
      gate_learning_rate_multiplier: float = 1.0,
      gate_weight_decay: float | None = None,
      **kwargs: Any,
  ):
    super().__init__(learning_rate=learning_rate, **kwargs)
    self.coupled_weight_decay = coupled_weight_decay
    self.gate_learning_rate_multiplier = gate_learning_rate_multiplier
    self.gate_weight_decay = gate_weight_decay
    for name in (
        "coupled_weight_decay",
        "gate_learning_rate_multiplier",
        "gate_weight_decay",
    ):
      value = getattr(self, name)
      if value is not None and not 0 <= value < math.inf:  # Nor NaN.
        raise ValueError(
            f"`{name}` must be a number, and not negative. Received: {value}"
        )
    self._undecayed_ids = frozenset()
    self._undecayed_names = None

  def exclude_from_weight_decay(
      self,
      var_list: Sequence[keras.Variable] | None = None,
      var_names: Sequence[str] | None = None,
  ) -> None:
    """Keeps variables from all weight decay, that of gates too.

    As in Keras, it is called before the optimizer is built, is not saved, and
    replaces what an earlier call excluded.

    Args:
      var_list: variables.
      var_names: regular expressions, of which one is in the variable's name.
    """
    super().exclude_from_weight_decay(var_list=var_list, var_names=var_names)
    # Variables themselves would be tracked as state of the optimizer.
    self._undecayed_ids = frozenset(map(id, var_list or ()))
    self._undecayed_names = (
        re.compile("|".join(var_names)) if var_names else None
    )

  def _decays(self, variable):
    names = self._undecayed_names
    is_named = names is not None and names.search(variable.name)
    return not is_named and id(variable) not in self._undecayed_ids

  def apply(
      self,
      grads: list[tf.Tensor | None],
      trainable_variables: list[keras.Variable],
  ) -> None:
    changed = [
        None if gradient is None else self._change(gradient, variable)
        for gradient, variable in zip(grads, trainable_variables, strict=True)
    ]
    super().apply(changed, trainable_variables)

  def _change(self, gradient, variable):
    decay, factor = self.coupled_weight_decay, 1.0
    of_gate = gates.GateVariable.of(variable)
    if of_gate is not None:
      # On SGD, a factor on the gradient is one on the learning rate.
      factor = self.gate_learning_rate_multiplier
      if self.gate_weight_decay is not None:
        decay = self.gate_weight_decay
      if not of_gate.decays:
        decay = 0.0
    if decay and self._decays(variable):
      # Keras divides what it is given by its loss scale.
      decay *= self.loss_scale_factor or 1.0
      # Gradients are summed over replicas.
      gradient = gradient + (decay / replicas.num_replicas()) * variable
    return gradient if factor == 1.0 else factor * gradient

  def get_config(self) -> dict[str, Any]:
    return {
        **super().get_config(),
        "coupled_weight_decay": self.coupled_weight_decay,
        "gate_learning_rate_multiplier": self.gate_learning_rate_multiplier,
        "gate_weight_decay": self.gate_weight_decay,
    }
