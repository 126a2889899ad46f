"""Which of some whole networks, each accurate enough, is the fastest."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

from export.decisions import choice

# Of the choice's steps, so many of the last are timed as whole networks: what
# single blocks take does not add up to what a network takes.
_LAST_STEPS = 3
REFERENCE = "all_open"

# Times of whole networks by that of `REFERENCE`.
Timed = Callable[[Mapping[str, choice.Decisions]], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Fastest:
  """The network to export.

  Args:
    step: its decisions, and why.
    ratios: of all that were timed, by that of all blocks open.
    outcome: sentences on what is exported.
  """

  step: choice.Step
  ratios: Mapping[str, float]
  outcome: str


def find(
    steps: Sequence[choice.Step],
    measure: Callable[[choice.Decisions], choice.Measured],
    timed: Timed,
    *,
    max_accuracy_drop: float,
) -> Fastest:
  """Times whole networks and keeps the fastest that is accurate enough.

  The candidates are the last steps of the choice, and the last one with its
  gates opened; all blocks open is timed beside them in any case, and a
  candidate like the others where it is accurate.

  Args:
    steps: of the choice, each accurate enough.
    measure: decisions -> accuracy (a share) and open rates, on validation data.
    timed: decisions by name -> times by that of `all_open`, one of the names.
    max_accuracy_drop: below the accuracy of the first step, a share.
  """
  lowest = choice.lowest_accuracy(
      measure(steps[0].decisions), max_accuracy_drop
  )
  all_open = choice.opened(steps[0], measure)
  others = {"opened": choice.opened(steps[-1], measure), REFERENCE: all_open}
  accurate = _different(
      {"chosen": steps[-1]}
      | {
          f"{i}_fewer": step
          for i, step in enumerate(steps[-2 : -_LAST_STEPS - 1 : -1], start=1)
      }
      | {
          name: step
          for name, step in others.items()
          if measure(step.decisions).accuracy >= lowest
      }
  )
  candidates = {name: step.decisions for name, step in accurate.items()}
  ratios = timed({REFERENCE: all_open.decisions, **candidates})
  best = min(accurate, key=ratios.get)
  outcome = _outcome(
      accurate[best],
      ratios[best],
      all_open,
      accuracy=measure(candidates[best]).accuracy,
      accuracy_open=measure(all_open.decisions).accuracy,
  )
  return Fastest(accurate[best], ratios, outcome)


def _different(steps):
  """Steps without those whose decisions another has; all open has its name."""
  names = {step.decisions: name for name, step in reversed(steps.items())}
  if REFERENCE in steps:
    names[steps[REFERENCE].decisions] = REFERENCE
  return {name: steps[name] for name in names.values()}


def _outcome(step, ratio, all_open, *, accuracy, accuracy_open):
  if step.decisions == all_open.decisions:
    return (
        "No choice of gates that keeps the accuracy is faster than all blocks "
        "open, without gates: that is exported."
    )
  text = f"It takes {ratio:.2f} of the time of all blocks open."
  if ratio >= 1:
    text += (
        " It is the fastest of those within --max_accuracy_drop all the same: "
        f"all blocks open are right for {100 * accuracy_open:.2f} % of the "
        f"validation images only, this for {100 * accuracy:.2f} %."
    )
  if choice.DECIDING not in step.decisions:
    text += f" {_why_none_decides(step)}"
  return text


def _why_none_decides(step):
  """Of all gates, why none of them is left to decide for each input."""
  gated = [row for row in step.rows if row.gate or row.branch]
  removed = sum(row.decision == choice.REMOVED for row in gated)
  alike = sum(
      row.decision == choice.OPEN and row.open_rate in (0, 1) for row in gated
  )
  reasons = {
      "removed, the accuracy holding without": removed,
      "open for every image": alike,
      "opened, for deciding takes longer than it saves": (
          len(gated) - removed - alike
      ),
  }
  counts = [f"{n} {reason}" for reason, n in reasons.items() if n]
  return f"No gate decides per input: of {len(gated)} blocks, " + (
      f"{'; '.join(counts)}."
  )
