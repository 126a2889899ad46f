"""Evaluates a trained network under inference strategies.

    python -m trainers.evaluate --workdir=runs/digits --strategies=all

Prints a table and writes `evaluation.json` into the workdir. What decides
something (open rates for pruning, the threshold of a budget) is measured on
the validation split, never on the split that is reported.
"""

import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from file_io import endings
from trainers import freed_memory
from trainers.evaluation import options
from trainers.evaluation import run
from trainers.settings import setting
from trainers.settings import shared_flags

_SETTINGS = setting.settings_of(options.Options)
for _name, (_each, _default) in _SETTINGS.items():
  _each.define(_name, _default, module_name=options.__name__)
flags.mark_flag_as_required("workdir")
# So that `--helpshort` lists them.
flags.adopt_module_key_flags(options)
flags.adopt_module_key_flags(shared_flags)


@endings.in_one_line("trainers.evaluate", "What was there stays.")
def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  # Each strategy is a graph of its own, which TensorFlow warns of.
  tf.get_logger().setLevel("ERROR")
  freed_memory.keep()
  try:
    run.evaluate_run(
        shared_flags.WORKDIR.value,
        options.Options(
            **{
                name: each.read(name, flags.FLAGS[name].value)
                for name, (each, _) in _SETTINGS.items()
            }
        ),
        place=shared_flags.place_of_data(),
        max_bad_examples=shared_flags.MAX_BAD_EXAMPLES.value,
    )
  except (ValueError, OSError, ImportError) as error:
    sys.exit(f"trainers.evaluate: {error}")


if __name__ == "__main__":
  app.run(main)
