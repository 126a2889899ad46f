"""What plain networks reach: alone, as a cascade, and with an oracle.

Curves are as of `statistics.chosen_accuracy_at`: what is chosen is chosen on
validation data.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import os
import pathlib
from typing import Any

import numpy as np
from scipy import special

from trainers.comparison import trials as trials_lib
from trainers.evaluation import predictions as predictions_lib

ENVELOPE = "dense_envelope"
CASCADE = "cascade"
ORACLE = "oracle"
# The same of networks that all imitate another.
DISTILLED = "distilled_"
# Shares of the validation examples that a cascade's second network sees.
DEFERRED = np.linspace(0, 1, 41)

Predictions = dict[str, predictions_lib.Predictions]
Curves = dict[str, list[dict[str, float]]]


def read_curves(
    workdir: str | os.PathLike, trials: Sequence[trials_lib.Trial]
) -> dict[int, dict[str, Any]]:
  """Curves of the plain networks of a comparison.

  Args:
    workdir: of the comparison.
    trials: its finished trials.

  Returns:
    By seed, where there is more than one network: `dense_envelope` and
    `cascade`, lists of curves; `oracle`, as of `oracle`. Networks that imitate
    another have curves of their own, whose names begin with `distilled_`.

  Raises:
    ValueError: if networks of a seed were evaluated on different examples.
  """
  groups = {}
  for trial in trials:
    if trial.is_dense:
      prefix = DISTILLED if trial.is_distilled else ""
      groups.setdefault((trial.seed, prefix), []).append(trial)
  curves = {}
  for (seed, prefix), dense in groups.items():
    # One alone needs no file, which older comparisons do not have.
    if len(dense) > 1:
      networks = [_read(workdir, trial) for trial in dense]
      if len(_different(networks)) > 1:
        curves.setdefault(seed, {}).update(
            {
                prefix + ENVELOPE: [envelope(networks)],
                prefix + CASCADE: cascades(networks),
                prefix + ORACLE: oracle(networks),
            }
        )
  return curves


def _read(workdir, trial):
  return predictions_lib.read(
      pathlib.Path(workdir) / trial.name / predictions_lib.NAME
  )


def envelope(networks: Sequence[Predictions]) -> Curves:
  """Accuracy of single networks over multiply-adds.

  Between two of them, some examples may be given to one and the rest to the
  other, unseen.

  Args:
    networks: predictions by split, of each network.

  Returns:
    A curve of each split.
  """
  return {
      split: [
          _point(each[split].macs, each[split].right)
          for each in _different(networks)
      ]
      for split in predictions_lib.SPLITS
  }


def cascades(networks: Sequence[Predictions]) -> list[Curves]:
  """A curve for each pair of networks, the cheaper one first.

  Args:
    networks: as of `envelope`.

  Returns:
    A list of curves of each split.

  Raises:
    ValueError: as of `cascade`.
  """
  return [
      cascade(first, second)
      for first, second in itertools.combinations(_different(networks), 2)
  ]


def cascade(first: Predictions, second: Predictions) -> Curves:
  """Two networks, the second for examples of which the first is least sure.

  Sure is a high probability of the class that is found. Each point is one
  threshold of it, a quantile of the validation examples. Where both are asked,
  the mean of their logits answers, as in `pgates.cascade`.

  Args:
    first: predictions by split; all examples pay for it.
    second: the same; those below the threshold pay for it besides.

  Returns:
    A curve of each split, of as many points: one a threshold. Beside `macs`
    and `accuracy` it holds the `threshold` of `pgates.cascade`'s gate, one
    minus that of sureness, and the share `deferred` to the second.

  Raises:
    ValueError: if they are of different examples.

  References:
    Viola and Jones, "Rapid object detection using a boosted cascade of simple
    features", 2001; as of the maximal probability, Wang et al., "IDK
    cascades", arXiv 1706.00885; of the mean, Wang et al., "Wisdom of
    committees", arXiv 2012.01988.
  """
  sure = {split: _confidence(each) for split, each in first.items()}
  thresholds = np.quantile(sure["validation"], DEFERRED)
  # All of them, whatever test examples are surer than any for validation.
  thresholds[-1] = np.inf
  thresholds[0] = -np.inf
  curves = {}
  for split in predictions_lib.SPLITS:
    one, two = first[split], second[split]
    if not np.array_equal(one.labels, two.labels):
      raise ValueError(
          "Networks of a cascade must be evaluated on the same examples in the "
          f"same order. Received: {len(one.labels)} and {len(two.labels)} "
          f"{split} examples, or labels that differ. Evaluate both again."
      )
    mean = (one.logits + two.logits) / 2
    both = dataclasses.replace(one, logits=mean)
    curves[split] = []
    for threshold in thresholds:
      deferred = sure[split] < threshold
      point = _point(
          one.macs + deferred * two.macs,
          np.where(deferred, both.right, one.right),
      )
      curves[split].append(
          {
              **point,
              "threshold": float(np.clip(1 - threshold, 0, 1)),
              "deferred": float(deferred.mean()),
          }
      )
  return curves


def oracle(networks: Sequence[Predictions]) -> dict[str, float]:
  """Who always asks the cheapest network that is right; nobody can.

  Args:
    networks: as of `envelope`.

  Returns:
    `accuracy` and mean `macs` on the test split; where none is right, the
    cheapest one answers.
  """
  ordered = [each["test"] for each in _different(networks)]
  right = np.stack([each.right for each in ordered])
  macs = np.stack([each.macs for each in ordered])
  # The first that is right, or the first of all.
  asked = right.argmax(axis=0)
  return _point(np.take_along_axis(macs, asked[None], 0), right.any(axis=0))


def _confidence(predictions):
  return special.softmax(predictions.logits, axis=1).max(axis=1)


def _different(networks):
  """The cheapest first, one of each cost: a recipe's own may come twice."""
  by_macs = {float(each["test"].macs.mean()): each for each in networks}
  return [by_macs[macs] for macs in sorted(by_macs)]


def _point(macs, right):
  return {"macs": float(np.mean(macs)), "accuracy": float(np.mean(right))}
