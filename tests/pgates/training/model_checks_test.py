"""Tests of `pgates.training.model_checks`, through the model they guard."""

import keras
import pytest

import pgates

CATEGORICAL = keras.losses.CategoricalCrossentropy(from_logits=True)


def outputs_of(x, gated=(0, 1, 2)):
  """The outputs of three blocks, of which some have a gate."""
  decisions = []
  for index in range(3):
    gate = pgates.DataIndependentGate() if index in gated else None
    block = pgates.GatedResidual(
        keras.layers.Dense(6), gate=gate, name=f"block{index}"
    )
    x, *decision = block(x)
    decisions.append(decision)
  logits = keras.layers.Dense(4)(x)
  return pgates.gated_outputs(logits, *zip(*decisions, strict=True))


def make_model(**kwargs):
  inputs = keras.Input((6,))
  return pgates.GatedModel(inputs, outputs_of(inputs, **kwargs))


@pytest.mark.parametrize(
    "outputs",
    [
        lambda x, o: x,
        lambda x, o: [o["logits"], o["gates"]],
        lambda x, o: {"logits": x, "gates": o["gates"]},
    ],
)
def test_outputs_of_another_kind_are_refused(outputs):
  inputs = keras.Input((6,))
  wrong = outputs(inputs, outputs_of(inputs))
  with pytest.raises(ValueError, match="`pgates.gated_outputs`. Received"):
    pgates.GatedModel(inputs, wrong)


def test_missing_columns_are_refused():
  inputs = keras.Input((6,))
  outputs = outputs_of(inputs)
  outputs = {**outputs, "gates": outputs["gates"][:, :2]}
  model = pgates.GatedModel(inputs, outputs)
  with pytest.raises(ValueError, match="2 columns for 3 gated blocks.*block0"):
    model.compile("sgd")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "mse"}, "Loss of logits.*'mse'"),
        (
            {"loss": keras.losses.SparseCategoricalCrossentropy()},
            "from_logits=True",
        ),
        (
            {"loss": keras.losses.CategoricalCrossentropy(from_logits=False)},
            "from_logits=True",
        ),
        (
            {
                "loss": keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True, reduction=None
                )
            },
            "reduction=none",
        ),
        ({"rate_loss": "per_batch"}, "TargetRateLoss.*'per_batch'"),
        (
            {"rate_loss": pgates.TargetRateLoss([0.5] * 2, kind="per_layer")},
            "2 target rates for 3 blocks.*block0",
        ),
        (
            {"rate_loss": pgates.TargetRateLoss([1, 0.5, 1], kind="per_layer")},
            r"\['block0', 'block2'\].*always_open",
        ),
        (
            {"metrics": [keras.metrics.Mean("accuracy")]},
            "names of their own.*Received: 'accuracy'",
        ),
        (
            {"loss": {"logits": CATEGORICAL, "votes": CATEGORICAL}},
            r"may name the outputs.*Received: \['votes'\]",
        ),
        ({"loss": {}}, "may name the outputs"),
        (
            {"loss_weights": {"gates": 0.5}},
            r"that have a loss, \['logits'\]. Received: {'gates'",
        ),
        ({"loss_weights": 0.5}, "must be a dictionary.*Received: 0.5"),
        (
            {"metrics": {"auxiliary": ["mse"]}},
            r"`metrics` may name the outputs.*Received: \['auxiliary'\]",
        ),
        (
            {"metrics": {"gates": ["accuracy"]}},
            "no 'accuracy' of the output 'gates'",
        ),
        (
            {"loss": keras.losses.CTC()},
            r"CTC cannot be computed of an output of the shape \(None, 4\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    make_model().compile("sgd", **options)


def test_costs_must_be_one_a_block():
  rate_loss = pgates.TargetRateLoss(0.5, share=[1.0, 2.0])
  with pytest.raises(ValueError, match="has 2 numbers for 3 blocks"):
    make_model().compile("sgd", rate_loss=rate_loss)
  rate_loss = pgates.TargetRateLoss(0.5, share=[1.0, 2.0, 0.5])
  make_model().compile("sgd", rate_loss=rate_loss)


def test_what_fits_is_taken():
  loss = keras.losses.CategoricalCrossentropy(from_logits=True)
  rate_loss = pgates.TargetRateLoss([1, 0.5, 1], kind="per_layer")
  model = make_model(gated=(1,))
  model.compile("sgd", loss, rate_loss=rate_loss, metrics=["mse", "mae"])
  assert model.task_loss is loss
  assert model.rate_loss is rate_loss


def test_metrics_of_one_name_are_refused():
  with pytest.raises(ValueError, match="names of their own.*Received: 'a'"):
    make_model().compile("sgd", metrics=[keras.metrics.Mean("a") for _ in "ab"])
