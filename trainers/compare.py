"""Trains and evaluates one recipe under several methods, targets and seeds.

    python -m trainers.compare --preset=cluttered_digits --workdir=runs/compare

Each run has an ordinary folder, METHOD_TARGET/seedN, made by `trainers.train`
and `trainers.evaluate`. The same command continues an interrupted comparison;
what is finished is not run again. At the end stand `comparison.json`, its
tables in `comparison.md`, and `report.html` to look at.
"""

import pathlib
import subprocess
import sys
from typing import Any

from absl import app
from absl import flags
from absl import logging

from file_io import artifacts
from file_io import endings
from file_io import writable
from trainers import children
from trainers.comparison import dense as comparison_dense
from trainers.comparison import runs as comparison_runs
from trainers.comparison import summary as comparison_summary
from trainers.comparison import table as comparison_table
from trainers.comparison import trials as trials_lib
from trainers.reporting import writer as report_writer
from trainers.settings import config_from_flags
from trainers.settings import shared_flags
from trainers.training import tensorboard
from trainers.training import training

_METHODS = flags.DEFINE_list(
    "methods",
    trials_lib.USUAL_METHODS,
    "Of: " + ", ".join(trials_lib.METHODS),
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 5, "How many; they are 0, 1, 2, ...", lower_bound=1
)
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "Runs at a time; they share the processor cores", lower_bound=1
)
_RECALIBRATION_BATCHES = flags.DEFINE_integer(
    "recalibration_batches",
    20,
    "Training batches to re-estimate batch-norm statistics on",
    lower_bound=1,
)
flags.mark_flag_as_required("workdir")
# So that `--helpshort` lists them.
flags.adopt_module_key_flags(config_from_flags)
flags.adopt_module_key_flags(shared_flags)


def write_results(
    workdir: pathlib.Path,
    settings: dict[str, Any],
    trials: list[trials_lib.Trial],
) -> None:
  """Writes what is to be said of finished trials."""
  results = [trials_lib.read_trial(workdir, trial) for trial in trials]
  value = {
      "command": ["python", "-m", "trainers.compare", *sys.argv[1:]],
      "recipe": settings,
      **comparison_summary.summarize(
          results, comparison_dense.read_curves(workdir, trials)
      ),
  }
  text = comparison_table.markdown(value)
  artifacts.write_json(workdir / "comparison.json", value)
  tensorboard.write_hparams_of(workdir, trials_lib.OWN_SETTINGS)
  artifacts.write_text(workdir / "comparison.md", text)
  print(text)
  path = report_writer.write_report(workdir)
  print(f"Wrote {path}, comparison.json, comparison.md and comparison.svg.")


@endings.in_one_line(
    "trainers.compare", "The same command continues the comparison."
)
def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  taken = {*trials_lib.OWN_SETTINGS} - {"target_rates"}
  given = sorted(name for name in taken if flags.FLAGS[name].present)
  if given:
    raise app.UsageError(f"--methods and --seeds decide: {', '.join(given)}")
  workdir = pathlib.Path(shared_flags.WORKDIR.value).expanduser()
  try:
    for name in ("comparison.json", "comparison.md", "report.html"):
      writable.check_file(workdir / name, instead="--workdir")
    settings = config_from_flags.read_settings()
    trials = trials_lib.make_trials(
        _METHODS.value, settings.pop("target_rates"), range(_SEEDS.value)
    )
    runs = comparison_runs.ComparisonRuns(
        trials,
        settings,
        workdir,
        num_recalibration_batches=_RECALIBRATION_BATCHES.value,
        num_jobs=_JOBS.value,
    )
    runs.run(echo=lambda line: print(line, flush=True))
    write_results(workdir, settings, trials)
  except (ValueError, OSError) as error:
    sys.exit(f"trainers.compare: {error}")
  except children.Stopped:
    print("Saved. The same command continues the comparison.", flush=True)
    sys.exit(training.STOPPED_EXIT_CODE)
  except subprocess.CalledProcessError as error:
    folder = next(a for a in error.cmd if a.startswith("--workdir="))
    sys.exit(f"trainers.compare: a run failed. See {folder[10:]}/log.txt.")


if __name__ == "__main__":
  app.run(main)
