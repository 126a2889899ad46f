"""Tests of pgates/training/optimizers.py, against PyTorch's SGD in NumPy."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters

NUM_STEPS = 5


def gated_model(make=pgates.DataDependentGate, **kwargs):
  """A user's functional model: blocks and gates carry Keras's own names."""
  inputs = keras.Input((4,))
  x, gates, logits = inputs, [], []
  for _ in range(2):
    block = pgates.GatedResidual(keras.layers.Dense(4), gate=make(**kwargs))
    x, gate, logit = block(x)
    gates.append(gate)
    logits.append(logit)
  # Names that end alike, or hold the word.
  x = keras.layers.Dense(4, name="gated_features")(x)
  x = keras.layers.Dense(4, name="aggregate")(x)
  outputs = pgates.gated_outputs(keras.layers.Dense(3)(x), gates, logits)
  return pgates.GatedModel(inputs, outputs)


def gate_variables(model):
  return {
      id(variable)
      for block in pgates.gated_blocks(model)
      if block.gate is not None
      for variable in block.gate.trainable_variables
  }


def torch_sgd(value, gradients, *, rate, momentum, nesterov, decay):
  """One variable's values after each step, after torch.optim.SGD."""
  velocity = np.zeros_like(value)
  for gradient in gradients:
    gradient = gradient + decay * value
    velocity = momentum * velocity + gradient
    step = gradient + momentum * velocity if nesterov else velocity
    value = value - rate * step
  return value


def random_gradients(variables, seed=0):
  generator = np.random.default_rng(seed)
  return [
      [generator.normal(size=v.shape).astype(np.float32) for v in variables]
      for _ in range(NUM_STEPS)
  ]


def apply_all(optimizer, variables, gradients):
  for step in gradients:
    optimizer.apply_gradients(
        [(tf.constant(g), v) for g, v in zip(step, variables, strict=True)]
    )


DECAYS = [  # And the gates' multiplier and decay.
    (0.0, 1.0, None),
    (0.3, 1.0, None),
    (0.3, 5.0, None),
    (0.3, 0.5, 0.0),
    (0.0, 2.0, 0.7),
]


@pytest.mark.parametrize(
    "decay, multiplier, gate_decay, nesterov, momentum",
    parameters.slow_but(
        [
            (0.3, 1.0, None, False, 0.9),
            (0.3, 5.0, None, True, 0.9),
            (0.3, 0.5, 0.0, True, 0.9),
            (0.0, 2.0, 0.7, False, 0.0),
        ],
        [
            (*decay, nesterov, momentum)
            for decay, nesterov, momentum in itertools.product(
                DECAYS, [False, True], [0.0, 0.9]
            )
        ],
    ),
)
def test_steps_are_those_of_torch(
    momentum, nesterov, decay, multiplier, gate_decay
):
  model = gated_model()
  variables = model.trainable_variables
  gates = gate_variables(model)
  assert 0 < len(gates) < len(variables)
  before = [v.numpy() for v in variables]
  gradients = random_gradients(variables)
  optimizer = pgates.CoupledSGD(
      0.1,
      coupled_weight_decay=decay,
      gate_learning_rate_multiplier=multiplier,
      gate_weight_decay=gate_decay,
      momentum=momentum,
      nesterov=nesterov,
  )
  apply_all(optimizer, variables, gradients)
  for i, variable in enumerate(variables):
    own_rate, own_decay = 0.1, decay
    if id(variable) in gates:
      own_rate = 0.1 * multiplier
      own_decay = decay if gate_decay is None else gate_decay
    expected = torch_sgd(
        before[i].astype(np.float64),
        [step[i] for step in gradients],
        rate=own_rate,
        momentum=momentum,
        nesterov=nesterov,
        decay=own_decay,
    )
    np.testing.assert_allclose(variable, expected, rtol=2e-5, atol=2e-6)


def test_defaults_are_those_of_keras_bit_for_bit():
  finals = []
  for make in (keras.optimizers.SGD, pgates.CoupledSGD):
    variable = keras.Variable(np.linspace(-1, 1, 6, dtype=np.float32))
    apply_all(make(0.1, momentum=0.9), [variable], random_gradients([variable]))
    finals.append(variable.numpy())
  np.testing.assert_array_equal(*finals)
  assert make().get_config()["learning_rate"] == np.float32(0.01)


def test_coupled_decay_is_l2_regularisation():
  """And so, under momentum, not Keras's decoupled `weight_decay`."""
  finals = []
  for options in (
      {"coupled_weight_decay": 0.2},
      {"coupled_weight_decay": 0.0},
      {"weight_decay": 0.2},
  ):
    variable = keras.Variable([1.0, -2.0])
    optimizer = pgates.CoupledSGD(0.1, momentum=0.9, **options)
    for _ in range(NUM_STEPS):
      penalty = 0.2 if not any(options.values()) else 0.0
      optimizer.apply(
          [tf.constant([0.5, 0.3]) + penalty * variable], [variable]
      )
    finals.append(variable.numpy())
  np.testing.assert_allclose(finals[0], finals[1], rtol=1e-6)
  assert np.abs(finals[0] - finals[2]).max() > 0.1


@pytest.mark.parametrize("num_replicas", parameters.slow_after(1, [2, 4]))
def test_replicas_step_as_one_device(num_replicas):
  model = gated_model()
  gradients = random_gradients(model.trainable_variables)
  before = model.get_weights()

  def final(optimizer_scope, model, share):
    with optimizer_scope.scope():
      optimizer = pgates.CoupledSGD(
          0.1,
          coupled_weight_decay=0.3,
          gate_weight_decay=0.6,
          gate_learning_rate_multiplier=2.0,
          momentum=0.9,
      )
      optimizer.build(model.trainable_variables)

    @tf.function
    def step(values):
      optimizer_scope.run(
          lambda: optimizer.apply_gradients(
              list(
                  zip(
                      [share * value for value in values],
                      model.trainable_variables,
                      strict=True,
                  )
              )
          )
      )

    for values in gradients:
      step([tf.constant(value) for value in values])
    return model.get_weights()

  alone = final(tf.distribute.get_strategy(), model, 1.0)
  strategy = tf.distribute.MirroredStrategy(
      [f"CPU:{i}" for i in range(num_replicas)],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )
  with strategy.scope():
    mirrored = gated_model()
    mirrored.set_weights(before)
  together = final(strategy, mirrored, 1 / num_replicas)
  for one, many in zip(alone, together, strict=True):
    np.testing.assert_allclose(many, one, rtol=1e-5, atol=1e-6)


def test_loss_scale_leaves_decay_alone():
  finals = []
  for scale in (None, 1024.0):
    variable = keras.Variable([1.0, -2.0])
    optimizer = pgates.CoupledSGD(
        0.1, coupled_weight_decay=0.2, loss_scale_factor=scale
    )
    scaled = optimizer.scale_loss(tf.constant([0.5, 0.3]))
    optimizer.apply([scaled], [variable])
    finals.append(variable.numpy())
  np.testing.assert_allclose(*finals, rtol=1e-6)
  np.testing.assert_allclose(finals[0], [0.93, -1.99], rtol=1e-6)


def test_variable_without_gradient_stays():
  variables = [keras.Variable([1.0]), keras.Variable([2.0])]
  optimizer = pgates.CoupledSGD(0.5, coupled_weight_decay=0.1)
  with pytest.warns(UserWarning, match="Gradients do not exist"):
    optimizer.apply([None, tf.constant([1.0])], variables)
  assert variables[0].numpy() == [1.0]
  np.testing.assert_allclose(variables[1], [2.0 - 0.5 * 1.2], rtol=1e-6)


MODELS = {
    "auto-named dependent": gated_model,
    "auto-named independent": lambda: gated_model(pgates.DataIndependentGate),
    "named": lambda: gated_model(name="gate"),
    "dependent ResNet": lambda: pgates.CifarResNet(14, input_shape=(8, 8, 3)),
    "independent ResNet": lambda: pgates.CifarResNet(
        8, gate="independent", input_shape=(8, 8, 3), always_open=(1,)
    ),
    "ungated": lambda: pgates.CifarResNet(
        8, gate="none", input_shape=(8, 8, 3)
    ),
}


@pytest.mark.parametrize(
    "reloaded, name",
    parameters.slow_but(
        [
            (False, "dependent ResNet"),
            (False, "independent ResNet"),
            (False, "ungated"),
            (True, "auto-named dependent"),
            (True, "named"),
        ],
        itertools.product([False, True], MODELS),
    ),
)
def test_variables_of_gates_and_no_others_are_known(name, reloaded, tmp_path):
  model = MODELS[name]()
  if reloaded:
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
  variables = model.trainable_variables
  for variable in variables:
    variable.assign(keras.ops.zeros_like(variable))
  optimizer = pgates.CoupledSGD(1.0, gate_learning_rate_multiplier=3.0)
  optimizer.apply([tf.ones(v.shape) for v in variables], variables)
  gates = gate_variables(model)
  for variable in variables:
    step = -3.0 if id(variable) in gates else -1.0
    np.testing.assert_array_equal(variable, np.full(variable.shape, step))


def test_config_round_trip_keeps_every_argument():
  optimizer = pgates.CoupledSGD(
      0.25,
      coupled_weight_decay=0.125,
      gate_learning_rate_multiplier=4.0,
      gate_weight_decay=0.5,
      momentum=0.75,
      nesterov=True,
      clipnorm=8.0,
  )
  restored = keras.saving.deserialize_keras_object(
      keras.saving.serialize_keras_object(optimizer)
  )
  assert isinstance(restored, pgates.CoupledSGD)
  config = restored.get_config()
  assert config == optimizer.get_config()
  assert config["coupled_weight_decay"] == 0.125
  assert config["gate_learning_rate_multiplier"] == 4.0
  assert config["gate_weight_decay"] == 0.5
  assert config["momentum"] == 0.75
  assert config["nesterov"] is True


def test_learning_rate_may_be_a_schedule():
  variable = keras.Variable([0.0])
  optimizer = pgates.CoupledSGD(
      keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.125])
  )
  for _ in range(4):
    optimizer.apply([tf.constant([1.0])], [variable])
  assert variable.numpy() == [-2.25]


@pytest.mark.parametrize(
    "name",
    [
        "coupled_weight_decay",
        "gate_learning_rate_multiplier",
        "gate_weight_decay",
    ],
)
@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_number_that_is_negative_or_not_finite_is_refused(name, value):
  with pytest.raises(ValueError, match=f"`{name}` must be a.*: {value}"):
    pgates.CoupledSGD(**{name: value})


@pytest.mark.parametrize("by", ["names", "variables"])
@pytest.mark.parametrize("gate_weight_decay", [None, 0.3])
def test_excluded_variables_do_not_decay(by, gate_weight_decay):
  model = gated_model()
  for variable in model.trainable_variables:
    variable.assign(tf.ones(variable.shape))
  optimizer = pgates.CoupledSGD(
      1.0, coupled_weight_decay=0.25, gate_weight_decay=gate_weight_decay
  )
  excluded = [
      v for v in model.trainable_variables if v.name in ("bias", "beta")
  ]
  if by == "names":
    optimizer.exclude_from_weight_decay(var_names=["bias", "^beta$"])
  else:
    optimizer.exclude_from_weight_decay(var_list=excluded)
  of_gates = gate_variables(model)
  decayed = {v.path for v in excluded if id(v) in of_gates}
  assert decayed  # Biases of gates are among what is excluded.
  variables = model.trainable_variables
  apply_all(optimizer, variables, [[np.zeros(v.shape, "f") for v in variables]])
  ids = set(map(id, excluded))
  assert all(np.all(v == 1.0) for v in excluded)
  kernels = [v for v in variables if v.name == "kernel"]
  assert len(kernels) > 4 and not ids & set(map(id, kernels))
  for kernel in kernels:
    decay = 0.25 if id(kernel) not in of_gates else gate_weight_decay or 0.25
    np.testing.assert_allclose(kernel, np.full(kernel.shape, 1.0 - decay))
