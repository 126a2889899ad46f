"""Results of a made comparison, for the tests of what is said of it."""

DENSE = 1000
BLOCKS = ["block0", "block1"]
# What the ungated network of each seed reaches.
UNGATED = (0.90, 0.92)


def strategy(accuracy, *, macs=700.0, rates=(1.0, 0.4), parameters=50):
  """A result as in `evaluation.json`."""
  return {
      "accuracy": accuracy,
      "top5_accuracy": 1.0,
      "open_rate": sum(rates) / len(rates),
      "macs": macs,
      "gate_patterns": 2,
      "gate_open_rates": list(rates),
      "parameters": parameters,
  }


def ungated(seed):
  """The trial of an ungated network."""
  return {
      "method": "ungated",
      "target_rate": None,
      "seed": seed,
      "folder": f"ungated/seed{seed}",
      "parameters": 40,
      "dense_macs": DENSE,
      "blocks": BLOCKS,
      "seconds_per_step": 0.5 + seed,
      "training_seconds": 10.0,
      "trained_open_rate": 1.0,
      "collapsed_share": None,
      "open_rate_variance": None,
      "strategies": {
          "always_open": strategy(
              UNGATED[seed], macs=DENSE, rates=(1.0, 1.0), parameters=40
          )
      },
  }


def gated(method, target, seed, accuracy, *, collapsed=0.5, slope=0.0):
  """The trial of a network with learned gates.

  Args:
    method: of the comparison.
    target: its rate.
    seed: of the run.
    accuracy: under MAP, at 70 % of the multiply-adds.
    collapsed: share of its gates.
    slope: by which the accuracy rises along its curve, per multiply-add.
  """
  curve = [
      {"macs": macs, "accuracy": accuracy + slope * (macs - 700)}
      for macs in (900.0, 550.0)
  ]
  return {
      **ungated(seed),
      "method": method,
      "target_rate": target,
      "folder": f"{method}_{target}/seed{seed}",
      "parameters": 50,
      "dense_macs": DENSE + 10,
      "trained_open_rate": target + 0.05,
      "collapsed_share": collapsed,
      "open_rate_variance": 0.1,
      "strategies": {
          "map": strategy(accuracy),
          "sampled": strategy(accuracy - 0.02),
          "prune:0.5": strategy(
              accuracy - 0.01, macs=600.0, rates=(1.0, 0.0), parameters=30
          ),
      },
      "recalibrated": {
          "map": strategy(accuracy + 0.01),
          "prune:0.5": strategy(accuracy + 0.02, macs=600.0),
      },
      "curves": {"validation": curve, "test": curve},
  }


def results():
  """Cells of three methods, with two seeds each."""
  trials = [ungated(seed) for seed in range(2)]
  for seed in range(2):
    trials += [
        gated("per_batch_dependent", 0.4, seed, 0.91 + 0.02 * seed),
        gated("per_batch_dependent", 0.6, seed, 0.80, collapsed=1.0),
        gated("per_layer_dependent", 0.4, seed, 0.90, slope=0.0001),
    ]
  return trials
