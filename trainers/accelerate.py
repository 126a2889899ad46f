"""Makes a trained network faster: gates it, fine-tunes it, exports what pays.

    python -m trainers.accelerate --network=file:my.keras \
        --image_folder=photos --max_accuracy_drop=1.0 --output_dir=faster

It evaluates the given network, puts gates on its blocks, trains them to lower
and lower rates, taught by the network as it was given, exports each (SavedModel
and TF-Lite), times all files beside the given network's, and keeps the fastest
whose accuracy on validation images is within the drop: `faster/model/1` for TF
Serving, `faster/model.tflite`, and `faster/report.html` to look at. Each step
is a program of its own, whose command is printed; the same command continues
where it was stopped.
"""

import pathlib
import subprocess
import sys

from absl import app
from absl import flags
from absl import logging

from file_io import endings
from file_io import locks
from file_io import path_flags
from file_io import writable
import image_data
from pgates.networks import networks
from run_data import reader
from trainers import children
from trainers.acceleration import acceleration
from trainers.acceleration import choosing
from trainers.acceleration import steps as steps_lib
from trainers.acceleration import survey
from trainers.settings import config as config_lib
from trainers.settings import config_from_flags
from trainers.settings import shared_flags
from trainers.training import training

# Of --target_rates, which are tried one after the other.
_TARGETS = (0.8, 0.6, 0.4)
_OUTPUT_DIR = path_flags.define(
    "output_dir", None, "Folder of all that is written"
)
_MAX_ACCURACY_DROP = flags.DEFINE_float(
    "max_accuracy_drop",
    1.0,
    "Points of validation accuracy that may be lost against the given network",
    lower_bound=0.0,
    upper_bound=100.0,
)
_TIME_LIMIT = flags.DEFINE_float(
    "time_limit",
    None,
    "Hours after which no lower target is begun; default: all are tried",
    lower_bound=0.0,
)
# So that `--helpshort` lists them.
flags.adopt_module_key_flags(config_from_flags)
flags.adopt_module_key_flags(shared_flags)


@endings.in_one_line(
    "trainers.accelerate", "The same command continues where it was."
)
def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  folder = pathlib.Path(_OUTPUT_DIR.value).expanduser().absolute()
  processes = children.Children()
  try:
    with endings.handling(lambda *_: processes.request_stop()):
      rows = _accelerate(folder, processes)
  except (ValueError, OSError, ImportError) as error:
    sys.exit(f"trainers.accelerate: {error}")
  except children.Stopped:
    print("Saved. The same command continues where it was.", flush=True)
    sys.exit(training.STOPPED_EXIT_CODE)
  except subprocess.CalledProcessError as error:
    sys.exit(
        f"trainers.accelerate: {error.cmd[2]} failed, and has said why. The "
        "same command continues where it was."
    )
  _print_result(rows, folder)


def _accelerate(folder, processes):
  settings = config_from_flags.read_settings(default_preset="warm_start")
  if networks.file_of(settings["network"]) is None:
    raise ValueError(
        "--network must be a trained network, file:PATH.keras. Received: "
        f"{settings['network']}"
    )
  writable.check_file(folder / "accelerated.json", instead="--output_dir")
  targets = settings.pop("target_rates")
  if not flags.FLAGS["target_rates"].present:
    targets = list(_TARGETS)
  if not targets:
    raise ValueError("--target_rates needs a rate, or several to try.")
  # All are sound before any work.
  configs = [
      config_lib.Config(**settings, target_rates=[each]) for each in targets
  ]
  if not configs[0].learned_gates:
    raise ValueError(
        f"--gate={configs[0].gate} has nothing to learn. Give dependent or "
        "independent."
    )
  dataset = image_data.open_dataset(
      settings["dataset"],
      data_dir=settings["data_dir"],
      idx_folder=settings["idx_folder"],
      **reader.rules(settings),
  )
  found = survey.survey(settings, dataset, num_targets=len(targets))
  print(found.text, flush=True)
  with locks.only_one(folder):
    return acceleration.accelerate(
        {**settings, "image_size": found.image_size},
        targets,
        folder,
        acceleration.Bounds(
            _MAX_ACCURACY_DROP.value,
            _TIME_LIMIT.value and 3600 * _TIME_LIMIT.value,
        ),
        processes,
        echo=lambda line: print(line, flush=True),
    )


def _print_result(rows, folder):
  print(f"\n{choosing.table(rows)}")
  print(
      "*: the fastest within --max_accuracy_drop on validation images. time: "
      "of that of the given network, in one run."
  )
  for row in rows:
    if row.chosen and row.network == steps_lib.GIVEN:
      print(
          f"In {row.format}, no network within the drop is faster than the "
          "given one: nothing is exported."
      )
  names = ("model/1", "model.tflite", "report.html")
  written = [str(folder / n) for n in names if (folder / n).exists()]
  print(f"Wrote {', '.join([*written, str(folder / 'accelerated.json')])}.")


if __name__ == "__main__":
  flags.mark_flag_as_required("output_dir")
  app.run(main)
