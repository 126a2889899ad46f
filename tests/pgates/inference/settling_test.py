"""Tests of `pgates.inference.settling`."""

import numpy as np
import pytest

import pgates
from tests.helpers import toys


def _model():
  """Blocks that run never, for some, always, always (no gate), and for some."""
  return toys.make_model(
      [
          toys.independent(-2.0),
          toys.dependent(0),
          toys.independent(2.0),
          None,
          toys.dependent(4),
      ]
  )


def _kinds(model):
  """Of each block: `dropped`, `open` or `deciding`."""
  kinds = []
  for block in pgates.gated_blocks(model):
    if block.branch is None:
      kinds.append("dropped")
    else:
      kinds.append("open" if block.gate is None else "deciding")
  return kinds


@pytest.mark.parametrize("execution", ["masked", "routed"])
@pytest.mark.parametrize("base", ["map", "threshold:0.4"])
def test_settled_network_answers_as_its_base_where_nothing_varied(
    base, execution
):
  model = _model()
  data = toys.batches(40)
  settled = pgates.with_strategy(
      model, f"settled:{base}", execution=execution, validation_data=data
  )
  kinds = _kinds(settled)
  assert kinds[0] == "dropped" and kinds[2:4] == ["open", "open"]
  assert "deciding" in kinds
  x = toys.examples(40)
  expected = toys.oracle(model, x, base)
  received = settled(x)
  for name in ("logits", "gates"):
    np.testing.assert_allclose(received[name], expected[name], atol=1e-5)
  assert 0 < np.mean(received["gates"]) < 1


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(0.0, marks=pytest.mark.slow),
        pytest.param(0.1, marks=pytest.mark.slow),
        0.3,
        pytest.param(0.5, marks=pytest.mark.slow),
    ],
)
def test_share_says_how_rarely_a_block_may_run_or_rest(share):
  model = toys.make_model([toys.dependent(i) for i in range(6)])
  data = toys.batches(40)
  rates, _ = pgates.measure_gates(model, data)
  settled = pgates.with_strategy(
      model, f"settled:{share}", validation_data=data
  )
  expected = []
  for rate in rates:
    if rate >= 1 - share and rate >= 0.5:
      expected.append("open")
    else:
      expected.append("dropped" if rate <= share else "deciding")
  assert _kinds(settled) == expected
  if share == 0.5:
    # Nothing is left to decide: the fixed network of MAP.
    fixed = pgates.parse_strategy("map").fix(model, data)
    assert _kinds(fixed) == expected


def test_budget_below_is_that_of_the_whole_network():
  model = _model()
  data = toys.batches(40)
  threshold = pgates.budget_threshold(model, 0.5, data)
  resolved, left = pgates.parse_strategy("settled:budget:0.5").resolve(
      model, data
  )
  assert left == pgates.parse_strategy(f"threshold:{threshold!r}")
  x = toys.examples(40)
  received = pgates.with_strategy(resolved, left)(x)
  expected = toys.oracle(model, x, f"threshold:{threshold!r}")
  np.testing.assert_array_equal(received["gates"], expected["gates"])


def test_settled_network_has_fewer_weights():
  model = _model()
  settled = pgates.with_strategy(
      model, "settled", validation_data=toys.batches(40)
  )
  branch = pgates.gated_blocks(model)[0].branch.count_params()
  assert settled.count_params() <= model.count_params() - branch
  # The original keeps its gates.
  assert _kinds(model) == [
      *("deciding", "deciding", "deciding", "open", "deciding")
  ]


def test_network_without_gates_is_refused():
  model = toys.make_model([None, None])
  with pytest.raises(ValueError, match="settled settles gates.*always_open"):
    pgates.with_strategy(model, "settled", validation_data=toys.batches())
