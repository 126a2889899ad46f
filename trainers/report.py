"""Writes a run, or a comparison, as one page to look at.

    python -m trainers.report --workdir=runs/digits

The folder must have been evaluated (`trainers.evaluate`), or hold a finished
comparison (`trainers.compare`). `report.html` needs no other file.
"""

import pathlib
import sys

from absl import app
from absl import flags
from absl import logging

from file_io import endings
from file_io import path_flags
from trainers.reporting import writer as report_writer
from trainers.settings import shared_flags

_REFERENCE = path_flags.define(
    "reference",
    None,
    "The workdir of an ungated network, evaluated on the same split, to mark",
)
_EXPORT = path_flags.define(
    "export",
    None,
    "The --output_dir of the run's exports, to show their times and gates",
)
_EVALUATION = path_flags.define(
    "evaluation",
    None,
    "What evaluate has written elsewhere; default: evaluation.json of the "
    "workdir",
)
_OUTPUT = path_flags.define(
    "output", None, "File to write; default: report.html of the workdir"
)
flags.mark_flag_as_required("workdir")
# So that `--helpshort` lists them.
flags.adopt_module_key_flags(shared_flags)


@endings.in_one_line("trainers.report", "What was there stays.")
def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  try:
    path = report_writer.write_report(
        pathlib.Path(shared_flags.WORKDIR.value),
        reference=_REFERENCE.value,
        export=_EXPORT.value,
        place=shared_flags.place_of_data(),
        evaluation=_EVALUATION.value,
        output=_OUTPUT.value,
    )
  except (ValueError, OSError) as error:
    sys.exit(f"trainers.report: {error}")
  print(f"Wrote {path}: open it in a browser.")


if __name__ == "__main__":
  app.run(main)
