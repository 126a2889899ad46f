"""Tests of what `docs/results.md` says."""

import json
import pathlib
import re

from trainers import comparison_table

_ROOT = pathlib.Path(__file__).parent.parent
_TEXT = (_ROOT / "docs" / "results.md").read_text()
_JSON = _ROOT / "benchmarks" / "results" / "comparison_cluttered_digits.json"
_VALUE = json.loads(_JSON.read_text())


def test_the_comparison_is_as_large_as_promised():
  cells = {(c["method"], c["target_rate"], c["seed"]) for c in _VALUE["cells"]}
  assert len(cells) == len(_VALUE["cells"]) == 70
  assert {seed for _, _, seed in cells} == set(range(5))
  assert len({method for method, _, _ in cells}) == 6


def test_the_tables_are_those_of_the_file():
  for title, _, header, rows in comparison_table.tables(_VALUE):
    assert f"### {title}" in _TEXT
    for line in (header, *rows):
      assert f"| {' | '.join(line)} |" in _TEXT


def test_the_figures_of_the_answers_are_those_of_the_tables():
  answers, tables = _TEXT.split("## Tables")
  answers = " ".join(answers.split())  # Lines may break within a figure.
  figures = re.findall(
      r"[+-]\d+\.\d\d \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]", answers
  )
  assert len(figures) >= 15
  for figure in figures:
    assert figure in tables
