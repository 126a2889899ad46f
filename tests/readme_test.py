"""Tests of what `README.md` says."""

import pathlib
import re
import tomllib

import keras
import numpy as np
import pytest

from benchmarks import over_seeds
from tests.helpers import result_shapes
from tools import source_imports
from trainers.acceleration import choosing

_ROOT = pathlib.Path(__file__).parent.parent
_README = (_ROOT / "README.md").read_text("utf-8")
# Lines may break within a sentence.
_FLOWING = " ".join(_README.split())


@pytest.mark.slow
def test_the_example_trains_and_skips():
  (code,) = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)
  found = {}
  exec(compile(code, "README.md", "exec"), found)  # noqa: S102
  rng = np.random.default_rng(0)
  images = rng.normal(size=(16, 32, 32, 3)).astype("float32")
  model, fast = found["gated"], found["fast"]
  before = [np.asarray(v) for v in model.trainable_variables]
  model.fit(images, np.arange(16) % 10, verbose=0)
  after = model.trainable_variables
  assert all(
      np.any(old != np.asarray(new))
      for old, new in zip(before, after, strict=True)
      if "bias" not in new.path
  )
  np.testing.assert_allclose(
      fast.predict(images, verbose=0)["logits"],
      model.predict(images, verbose=0)["logits"],
      rtol=1e-4,
      atol=1e-5,
  )
  keras.backend.clear_session()


def test_it_is_short():
  assert len(_README.splitlines()) <= 200


def test_what_is_needed_is_what_was_measured():
  value = result_shapes.committed("make_resources.json")
  demo, test = value["targets"]["demo"], value["targets"]["test"]
  gigabytes, minutes = 1e9, 60
  said = {
      "disk": f"{value['venv_bytes'] / gigabytes:.1f} GB for `.venv`, "
      f"{demo['written_bytes'] / 1e6:.0f} MB for the demo",
      "memory": f"{demo['peak_process_bytes'] / gigabytes:.1f} GB for the "
      f"demo; {test['peak_process_bytes'] / gigabytes:.1f} GB for each process",
      "time": f"{demo['seconds'] / minutes:.0f} minutes for the demo, "
      f"{test['seconds'] / minutes:.0f} for the tests, on {value['cores']} "
      f"cores of an {value['cpu']}",
  }
  for name, text in said.items():
    assert f"\n| {name} | {text}" in _README


def test_the_faster_network_is_that_of_its_file():
  rows = result_shapes.committed("accelerated_digits.json")["rows"]
  made = [choosing.Row(**row) for row in rows]
  for line in choosing.table(made).splitlines():
    assert f"\n    {line.rstrip()}\n" in _README
  given, chosen = made[0], {row.format: row for row in made if row.chosen}
  assert chosen["saved_model"].accuracy == given.accuracy
  served, lite = (chosen[name].times for name in ("saved_model", "tflite"))
  assert f"in {served['1']:.2f} of its time for one image" in _FLOWING
  assert f"{served['8']:.2f} for eight, and {lite['1']:.2f} as a TF" in _FLOWING


def test_the_first_screen_is_that_of_its_file():
  summary = result_shapes.committed("gated_cluttered_digits.json")["summary"]
  for line in over_seeds.table(summary):
    assert f"\n{line}\n" in _README
  served, batches, lite = (
      summary["time"][engine]["auto"]["mean"]
      for engine in ("served_1", "served_8", "tflite_1")
  )
  assert f"take {served:.2f} of the time of the same" in _FLOWING
  assert f"{batches:.2f} in batches of 8, {lite:.2f} as a TF-Lite" in _FLOWING
  cost = summary["accuracy"]["saved_model_1"]["auto"]["minus_ungated"]
  assert cost["n"] == 5
  mean, low, high = (100 * cost[key] for key in ("mean", "low", "high"))
  assert f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] points at" in _FLOWING


def test_the_batch_that_is_slower_is_in_its_file():
  rows = result_shapes.committed("latency.json")["rows"]
  (row,) = (r for r in rows if (r["rate"], r["batch_size"]) == ("0.75", 32))
  share = f"batch 32 and {100 * row['executed_share_of_macs']:.0f} % of the MAC"
  assert share in _FLOWING
  assert row["served"]["dynamic"]["ratio"] > 1


def test_every_folder_of_sources_is_in_the_layout():
  text = (_ROOT / "docs" / "extending.md").read_text("utf-8")
  layout = text.split("\n## What lies where\n")[1].split("\n## ")[0]
  folders = {
      source.parent.as_posix()
      for source in source_imports.sources(_ROOT)
      if source.parts[0] != "tests"
  } | {"tests"}
  listed, package = set(), ""
  for line in re.findall(r"^ {4}( *\w+)/ ", layout, re.MULTILINE):
    package = package if line.startswith(" ") else line
    room = line.strip()
    listed.add(room if room == package else f"{package}/{room}")
  assert listed == folders | {"docs"}


@pytest.mark.parametrize(
    "path",
    ["README.md", *(p.relative_to(_ROOT) for p in _ROOT.glob("docs/*.md"))],
    ids=str,
)
def test_the_environment_is_named_where_commands_are_first_shown(path):
  text = (_ROOT / path).read_text("utf-8")
  # README's first screen shows what is measured, and how, before anything is
  # installed.
  text = text.partition("## Quick start")[2] or text
  before, command, _ = text.partition("\n    python -m ")
  if command:
    assert "source .venv/bin/activate" in before


def _links(path):
  text = path.read_text("utf-8")
  return re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", text)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        *(f"docs/{n}.md" for n in ("training", "export", "your_network")),
    ],
)
def test_links_lead_somewhere(name):
  source = _ROOT / name
  links = _links(source)
  assert links
  for target, anchor in links:
    path = source.parent / target if target else source
    assert path.exists(), target
    if anchor:
      headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
      found = {
          re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings
      }
      assert anchor in found, (target, anchor)


def test_what_the_library_installs_is_named():
  project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
  (sentence,) = re.findall(r"`pip install PATH[^:]*:", _FLOWING)
  spoken = sentence.lower().replace(" probability", "-probability")
  for requirement in project["project"]["dependencies"]:
    name = re.match(r"[\w-]+", requirement)[0]
    assert re.search(rf"\b{name}[, ]", spoken), name
