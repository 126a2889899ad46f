"""A report as one HTML page that needs no other file."""

import base64
import html
from typing import Any

import tensorflow as tf

from trainers.reporting import measurements
from trainers.reporting import plots as report_plots

# On white; where the page is dark, lighter ones.
_DARK = {
    "blue": "#56a8e0",
    "orange": "#f0b429",
    "green": "#2fc79b",
    "vermilion": "#ff8a4c",
    "purple": "#e3a0c4",
    "sky": "#8fd0f5",
}

_CSS = """
:root { color-scheme: light dark; --ink: #1c1e21; --page: #ffffff;
  --faint: #8a8f98; %s }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --page: #16181b; %s } }
body { color: var(--ink); background: var(--page); margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; }
svg { display: block; max-width: 100%%; height: auto; font-family: inherit; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
.examples { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 6.5rem; font-size: .8rem; }
figure img { width: 6.5rem; height: 6.5rem; object-fit: contain;
  image-rendering: pixelated; background: #808080; display: block; }
.gates { display: flex; flex-wrap: wrap; gap: 2px; margin: .3rem 0; }
.gates i { width: .5rem; height: .5rem; border: 1px solid var(--ink);
  box-sizing: border-box; }
.gates i.open { background: var(--ink); }
.wrong { text-decoration: underline wavy; }
@media print {
  :root { --ink: #000; --page: #fff; %s }
  body { max-width: none; margin: 0; }
  table { font-size: .75rem; }
  .wide { overflow-x: visible; }
  section, figure, tr { break-inside: avoid; }
  * { print-color-adjust: exact; } }
"""


def _css():
  def names(colors):
    return " ".join(f"--{name}: {value};" for name, value in colors.items())

  light = names(report_plots.COLORS)
  return _CSS % (light, names(_DARK), light)


def page(title: str, sections: list[str]) -> str:
  """The whole page.

  Args:
    title: of the page.
    sections: list of HTML, as of `section`.

  Returns:
    HTML.
  """
  return "\n".join(
      [
          "<!DOCTYPE html>",
          '<html lang="en"><head><meta charset="utf-8">',
          '<meta name="viewport" content="width=device-width">',
          f"<title>{html.escape(title)}</title>",
          f"<style>{_css()}</style></head><body>",
          f"<h1>{html.escape(title)}</h1>",
          *sections,
          "</body></html>",
          "",
      ]
  )


def section(title: str, text: str, *bodies: str) -> str:
  """A part of the page: a heading, a sentence, and what it is about.

  Args:
    title: plain text.
    text: plain text.
    *bodies: HTML.

  Returns:
    HTML.
  """
  return (
      f"<section><h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>"
      f"{''.join(bodies)}</section>"
  )


def table(header: list[str], rows: list[list[str]]) -> str:
  """A table of plain text.

  Args:
    header: list of strings.
    rows: list of lists of strings; the first is the row's name.

  Returns:
    HTML.
  """
  lines = [f"<tr>{_cells('th', header)}</tr>"]
  lines += [f"<tr>{_cells('td', row)}</tr>" for row in rows]
  return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cells(tag, values):
  return "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values)


def settings(values: dict[str, Any]) -> str:
  """A table of names and values.

  Args:
    values: dict.

  Returns:
    HTML.
  """
  return table(
      ["setting", "value"],
      [[name, str(value)] for name, value in values.items()],
  )


def examples(
    decisions: measurements.Decisions,
    indices: list[int],
    class_names: list[str],
    dense_macs: int,
) -> str:
  """Images with what was decided for them.

  Args:
    decisions: `measurements.Decisions`.
    indices: of the examples.
    class_names: of the data set.
    dense_macs: multiply-adds of the whole network.

  Returns:
    HTML.
  """
  figures = [
      _example(decisions, index, class_names, dense_macs) for index in indices
  ]
  return f'<div class="examples">{"".join(figures)}</div>'


def _example(decisions, index, class_names, dense_macs):
  label = class_names[decisions.labels[index]]
  prediction = class_names[decisions.predictions[index]]
  gates = decisions.gates[index]
  squares = "".join('<i class="open"></i>' if g else "<i></i>" for g in gates)
  share = 100 * decisions.macs[index] / dense_macs
  said = html.escape(prediction)
  if prediction != label:
    said = f'<span class="wrong">{said}</span>, truly {html.escape(label)}'
  return (
      f'<figure><img alt="{html.escape(label)}" '
      f'src="data:image/png;base64,{_png(decisions.extremes[index])}">'
      f'<div class="gates" role="img" aria-label="{int(gates.sum())} of '
      f'{len(gates)} gates open">{squares}</div>'
      f"<figcaption>{share:.0f} % of the MACs; {said}</figcaption></figure>"
  )


def _png(pixels):
  return base64.b64encode(tf.io.encode_png(pixels).numpy()).decode("ascii")
