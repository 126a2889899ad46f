"""The tables of a comparison, in Markdown."""

from typing import Any


def markdown(value: dict[str, Any]) -> str:
  """What `comparison.md` holds.

  Args:
    value: of `summary.summarize`.

  Returns:
    Markdown.
  """
  parts = [
      "# Comparison",
      f"MACs %: executed multiply-adds by {value['dense_macs']:,}, those of "
      "the ungated network. `+-` is the standard deviation over seeds; "
      "brackets hold 95 % intervals of paired differences, in points; "
      "`detectable` is the smallest true difference that so many seeds would "
      "have shown with probability 0.8.",
  ]
  for title, text, header, rows in tables(value):
    parts += [f"## {title}", text, _table(header, rows)]
  return "\n\n".join(parts) + "\n"


def tables(
    value: dict[str, Any],
) -> list[tuple[str, str, list[str], list[list[str]]]]:
  """The tables of a comparison.

  Args:
    value: of `summary.summarize`.

  Returns:
    A list of `(title, text, header, rows)`, all strings; the first trial of a
    row is its name.
  """
  answers = value["answers"]
  return [
      (
          "Accuracy, by strategy",
          "In %, on the test split.",
          *_accuracy_table(value["rows"], "strategies"),
      ),
      (
          "Rates and costs",
          "Collapsed: gates open for less than 5 or more than 95 % of the test "
          "examples, when sampled.",
          *_rates_table(value["rows"]),
      ),
      (
          "Accuracy after batch-norm re-estimation",
          "In %; statistics estimated anew under the strategy.",
          *_accuracy_table(value["rows"], "recalibrated"),
      ),
      (
          "Accuracy at equal multiply-adds",
          "In %, along thresholds and targets of each seed.",
          *_equal_table(value["equal_macs"]),
      ),
      (
          "Pruned against gated",
          "Blocks open for less than half of the validation data are dropped.",
          *_pruned_table(answers["pruned"]),
      ),
      (
          "Against the ungated network",
          "Of the same seed.",
          *_ungated_table(answers["against_ungated"]),
      ),
      (
          "Strategies against MAP",
          "Means over methods and targets, paired by seed.",
          *_strategies_table(answers["strategies"]),
      ),
  ]


def _table(header, rows):
  lines = [header, ["---"] * len(header), *rows]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _name(row):
  target = row["target_rate"]
  return row["method"] if target is None else f"{row['method']} {target:g}"


def _number(spread, form="{:.3g}"):
  if spread is None:
    return ""
  text, deviation = form.format(spread["mean"]), spread["std"]
  # Of equal numbers, rounding leaves a deviation of some 1e-16.
  if deviation is None or form.format(round(deviation, 9)) == form.format(0):
    return text
  return f"{text} +- {form.format(deviation)}"


def _percent(spread, form="{:.2f}"):
  if spread is None:
    return ""
  deviation = spread["std"]
  scaled = None if deviation is None else 100 * deviation
  return _number({"mean": 100 * spread["mean"], "std": scaled}, form)


def _points(difference):
  """A paired difference and its interval: `"+0.12 [-0.30, +0.54]"`."""
  low, high = difference.get("low"), difference.get("high")
  text = f"{100 * difference['mean']:+.2f}"
  if low is None:
    return text
  return f"{text} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _detectable(difference):
  found = difference.get("detectable")
  return "" if found is None else f"{100 * found:.2f}"


def _accuracy_table(rows, kind):
  rows = [row for row in rows if kind in row]
  names = list(dict.fromkeys(name for row in rows for name in row[kind]))
  lines = [
      [
          _name(row),
          str(row["parameters"]["n"]),
          *(_percent(row[kind].get(n, {}).get("accuracy")) for n in names),
      ]
      for row in rows
  ]
  return ["method, target", "n", *names], lines


def _rates_table(rows):
  header = ["method, target", "rate trained", "rate MAP", "MACs % MAP"]
  header += ["collapsed %", "variance of rates", "seconds a step", "parameters"]
  lines = []
  for row in rows:
    strategies = row["strategies"]
    # What has no decision of its own runs every block.
    usual = strategies.get("map") or strategies["always_open"]
    trials = [
        _number(row["trained_open_rate"]),
        _number(usual["open_rate"]),
        _percent(usual["macs_share"], "{:.1f}"),
        _percent(row["collapsed_share"], "{:.0f}"),
        _number(row["open_rate_variance"], "{:.3f}"),
        _number(row["seconds_per_step"]),
        _number(row["parameters"], "{:,.0f}"),
    ]
    lines.append([_name(row), *trials])
  return header, lines


def _equal_table(entries):
  methods = list(dict.fromkeys(m for e in entries for m in e["accuracy"]))
  pairs = list(
      dict.fromkeys(
          (d["ours"], d["theirs"]) for e in entries for d in e["differences"]
      )
  )
  header = ["MACs %", *methods]
  for ours, theirs in pairs:
    header += [f"{ours} - {theirs}", "detectable"]
  lines = []
  for entry in entries:
    found = {(d["ours"], d["theirs"]): d for d in entry["differences"]}
    line = [f"{100 * entry['macs_share']:.0f}"]
    line += [_percent(entry["accuracy"].get(method)) for method in methods]
    for pair in pairs:
      known = pair in found
      line.append(_points(found[pair]) if known else "")
      line.append(_detectable(found[pair]) if known else "")
    lines.append(line)
  return header, lines


def _pruned_table(answers):
  header = ["method, target", "MACs %", "parameters %", "pruned - MAP"]
  header += ["re-estimated - MAP", "detectable"]
  lines = [
      [
          _name(answer),
          _percent(answer["macs_share"], "{:.1f}"),
          _percent(answer["parameters_share"], "{:.1f}"),
          _points(answer["minus_map"]),
          _points(answer["recalibrated_minus_map"]),
          _detectable(answer["minus_map"]),
      ]
      for answer in answers
  ]
  return header, lines


def _ungated_table(answers):
  header = ["method, target", "strategy", "bypassed %", "MACs %"]
  header += ["accuracy - ungated", "detectable"]
  lines = [
      [
          _name(answer),
          answer["strategy"],
          _percent(answer["bypassed"], "{:.1f}"),
          _percent(answer["macs_share"], "{:.1f}"),
          _points(answer["difference"]),
          _detectable(answer["difference"]),
      ]
      for answer in answers
  ]
  return header, lines


def _strategies_table(answers):
  lines = [
      [
          answer["strategy"],
          _points(answer["minus_map"]),
          _detectable(answer["minus_map"]),
          _percent(answer["macs_share"], "{:.1f}"),
      ]
      for answer in answers
  ]
  header = ["strategy", "accuracy - MAP", "detectable", "MACs %"]
  return header, lines
