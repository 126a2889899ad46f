"""Residual blocks that a gate may bypass."""

from collections.abc import Callable
from typing import Any
from typing import Self

import keras
import tensorflow as tf

from pgates.layers import executions
from pgates.layers import gate_ops
from pgates.layers import gate_rules
from pgates.layers import gates as gates_lib
from pgates.layers import normalization
from pgates.layers import sublayers


@keras.saving.register_keras_serializable(package="pgates")
class GatedResidual(keras.layers.Layer):
  """Residual block around any branch: `activation(shortcut + z * branch)`.

  A closed gate (z = 0) leaves the shortcut alone, an open one (z = 1) the
  plain residual block, bit for bit. While training the gate is sampled, with
  a straight-through gradient; at inference the gate's default rule holds (MAP
  for learned gates) unless `rule` says otherwise.

  Args:
    branch: any Keras layer that keeps the batch dimension; its output must
      have the shape of the shortcut's. None for a block whose branch was
      removed: always closed.
    gate: a gate layer of this package; None for a block that always runs.
    shortcut: a Keras layer, or None for the identity.
    activation: name or callable, after the addition; None for none.
    activated_inputs: whether the inputs have been through `activation` and a
      second time changes nothing, as behind another such block; a closed gate
      of a block without `shortcut` then costs nothing.
    macs: multiply-adds of the branch per example, for branches with layers
      that `pgates.count_macs` does not know.

  Call arguments:
    inputs: [batch, ..., channels].
    threshold: probabilities, [batch] or [], for the rule `threshold`
      without a number of its own.
    training: Python bool; samples the gate, where `rule` is None.
    rule: `sampled`, `map`, `threshold:T`, `always_open` or `expected`; None
      for the default.
    execution: `masked` (compute, then multiply), `routed` (compute only for
      open gates) or `conditional` (the same, for a batch of one with static
      shapes); the latter two for inference only.

  Returns:
    `(outputs, gate, gate_logit)`: [batch, ..., channels], and two float32
    [batch]: 1 where the block ran, and the logit of running it (100 where the
    block has no gate, -100 where it has no branch).

  Raises:
    ValueError: if an argument is out of its range, or a layer of the block
      has its channels first.
    TypeError: if `rule` is given under its old name, `strategy`.

  References:
    Herrmann, Bowen, Zabih, arXiv 1812.04180v1.
  """

  def __init__(
      self,
      branch: keras.layers.Layer | None,
      *,
      gate: gates_lib.Gate | None = None,
      shortcut: keras.layers.Layer | None = None,
      activation: str | Callable | None = "relu",
      activated_inputs: bool = False,
      macs: int | None = None,
      **kwargs: Any,
  ):
    # Keras would cast `threshold` too, and 0.999 is 1 in bfloat16.
    super().__init__(autocast=False, **kwargs)
    if not isinstance(branch, keras.layers.Layer | None):
      raise TypeError(
          "`branch` must be a Keras layer, a `keras.Sequential` of several, or "
          f"None. Received: {branch!r} of type {type(branch).__name__}"
      )
    if macs is not None and not macs >= 0:  # Nor NaN.
      raise ValueError(f"`macs` must not be negative. Received: {macs}")
    if branch is None and gate is not None:
      raise ValueError(
          "A block without a branch has nothing to gate: pass gate=None. "
          f"Received: gate={gate}"
      )
    self.branch = branch
    self.gate = gate
    self.shortcut = shortcut
    self.activation = keras.activations.get(activation)
    self.activated_inputs = activated_inputs
    self.macs = macs
    self._is_deserialized = False

  def __call__(
      self, *args: Any, **kwargs: Any
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    if "strategy" in kwargs:
      # Graphs of older files call their blocks so; the new graph says `rule`.
      if not self._is_deserialized:
        raise TypeError(
            f"{self.name}: the call argument `strategy` is now called `rule`. "
            f"Received: strategy={kwargs['strategy']!r}"
        )
      kwargs["rule"] = kwargs.pop("strategy")
    return super().__call__(*args, **kwargs)

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    sublayers.check_channels_last(
        sublayers.descendants(self), where=f"the block {self.name}"
    )
    for layer in (self.branch, self.shortcut):
      if layer is not None and not layer.built:
        layer.build(input_shape)
    expected = self._shortcut_shape(input_shape)
    if self.gate is not None:
      if not self.gate.built:
        self.gate.build(expected if self.gate.reads_shortcut else input_shape)
      self.gate.mark_variables()
    if self.branch is not None:
      received = tuple(self.branch.compute_output_shape(input_shape))
      if received != expected:
        raise ValueError(
            f"The branch of {self.name} must end in the shape of its shortcut, "
            f"{expected}. Received: {received}. Give a `shortcut` layer that "
            "changes the shape as the branch does."
        )

  def call(
      self,
      inputs: tf.Tensor,
      threshold: float | tf.Tensor | None = None,
      training: bool | None = None,
      rule: str | gate_rules.Rule | None = None,
      execution: str = "masked",
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    executions.check_execution(execution)
    if training and execution != "masked":
      raise ValueError(
          f"execution={execution!r} is for inference: closed examples have no "
          "gradient in it. Train with execution='masked'."
      )
    inputs = tf.cast(inputs, self.compute_dtype)
    if self.gate is None or self.branch is None:
      return self._ungated(inputs)
    inputs, observed = self.gate.observe(inputs)
    shortcut = self._shortcut(inputs)
    logits = self.gate(shortcut if self.gate.reads_shortcut else observed)
    if rule is None:
      rule = "sampled" if training else self.gate.default_rule
    rule = gate_rules.parse(rule)
    gates, scales = self.gate.decide(logits, rule=rule, threshold=threshold)
    if rule.runs_all and scales is None:
      return self._open(inputs, shortcut), gates, logits
    options = {"activation": self.activation}
    if execution != "masked":
      options["closed"] = self._closed
    elif training:
      options["scaled_branch"] = normalization.scaled_branch(self.branch)
    outputs = getattr(executions, execution)(
        self.branch, inputs, shortcut, gates, scales, **options
    )
    return outputs, gates, logits

  def _open(self, inputs, shortcut):
    return self.activation(shortcut + self.branch(inputs))

  def _closed(self, shortcut):
    if self.activated_inputs and self.shortcut is None:
      return tf.identity(shortcut)
    return self.activation(shortcut)

  def _shortcut(self, inputs):
    return inputs if self.shortcut is None else self.shortcut(inputs)

  def _ungated(self, inputs):
    shortcut = self._shortcut(inputs)
    sizes = tf.shape(inputs)[:1]
    is_open = 0.0 if self.branch is None else 1.0
    gates = tf.fill(sizes, is_open)
    logits = tf.fill(sizes, (2 * is_open - 1) * gate_ops.OPEN_LOGIT)
    if self.branch is None:
      return self._closed(shortcut), gates, logits
    return self._open(inputs, shortcut), gates, logits

  def _shortcut_shape(self, input_shape):
    if self.shortcut is None:
      return tuple(input_shape)
    return tuple(self.shortcut.compute_output_shape(input_shape))

  def with_layers(
      self,
      branch: keras.layers.Layer | None,
      *,
      gate: gates_lib.Gate | None,
      shortcut: keras.layers.Layer | None,
  ) -> "GatedResidual":
    """A block of other layers and the same settings.

    Raises:
      ValueError: if this is of a subclass, which may do something else.
    """
    if type(self) is not GatedResidual:
      raise ValueError(
          f"{self.name} is a {type(self).__name__}, and cannot be pruned or "
          "exported unless that has a `with_layers` of its own."
      )
    return GatedResidual(
        branch,
        gate=gate,
        shortcut=shortcut,
        activation=self.activation,
        activated_inputs=self.activated_inputs,
        macs=self.macs,
        name=self.name,
        dtype=self.dtype_policy,
    )

  def compute_output_shape(
      self, input_shape: tuple[int | None, ...]
  ) -> tuple[
      tuple[int | None, ...], tuple[int | None, ...], tuple[int | None, ...]
  ]:
    batch = (input_shape[0],)
    return self._shortcut_shape(input_shape), batch, batch

  def compute_output_spec(
      self, inputs: keras.KerasTensor, **kwargs: Any
  ) -> tuple[keras.KerasTensor, ...]:
    # By default Keras declares all outputs in the policy's compute type.
    shapes = self.compute_output_shape(inputs.shape)
    dtypes = (self.compute_dtype, "float32", "float32")
    return tuple(map(keras.KerasTensor, shapes, dtypes))

  def get_config(self) -> dict[str, Any]:
    serialize = keras.saving.serialize_keras_object
    return {
        **super().get_config(),
        "branch": serialize(self.branch),
        "gate": serialize(self.gate),
        "shortcut": serialize(self.shortcut),
        "activation": keras.activations.serialize(self.activation),
        "activated_inputs": self.activated_inputs,
        "macs": self.macs,
    }

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> Self:
    layers = {
        name: keras.saving.deserialize_keras_object(config[name])
        for name in ("branch", "gate", "shortcut")
    }
    block = cls(**{**config, **layers})
    block._is_deserialized = True
    return block
