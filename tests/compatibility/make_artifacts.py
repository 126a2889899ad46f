"""Writes the files of `data/`, with the code of an older commit.

    git worktree add --detach OLD ec50eff
    cd OLD
    PYTHONPATH=. python NEW/tests/compatibility/make_artifacts.py OUTPUT

imports the packages of OLD, where it must be run. It does not run with later
code: that is what the files are for. A file that a later commit writes in
another format belongs beside these, not in their place.
"""

import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

import pgates

# One strategy a file; the functional graph of each names it.
SAVED_STRATEGIES = {
    "map": ("map", "masked"),
    "threshold": ("threshold:0.3", "masked"),
    "routed": ("map", "routed"),
}
NUM_IMAGES = 6
# A gate's open rate shows only where gates have learned something.
FINISHED = (
    *("--network=cifar_resnet8", "--batch_size=64", "--epochs=6"),
    *("--momentum=0.0", "--learning_rate=0.2", "--target_rates=0.6"),
    *("--initial_probability=0.55", "--gate_learning_rate_multiplier=10"),
)
CELL = "per_batch_dependent_0.6/seed0"
FILES_OF_A_RUN = (
    *("config.json", "evaluation.json", "history.jsonl"),
    *("model.keras", "recalibrated.json"),
)
INTERRUPTED = (
    *("--network=cifar_resnet8", "--batch_size=256", "--epochs=2"),
    *("--learning_rate=0.05", "--initial_probability=0.6"),
)
FIRST_EPOCH = "step-000000004"


def main(output: str) -> None:
  root = pathlib.Path(output).resolve()
  root.mkdir(parents=True)
  scratch = root / "scratch"
  write_models(root / "models")
  write_export(root / "models" / "gate_kinds.keras", root / "export", scratch)
  write_comparison(root / "comparison", scratch)
  write_interrupted_run(root / "interrupted_run", scratch)
  shutil.rmtree(scratch)


def make_gated_model() -> pgates.GatedModel:
  """Four blocks: each kind of gate, and a block without one."""
  keras.utils.set_random_seed(0)
  gates = (
      pgates.DataDependentGate(hidden_units=3, seed=1, name="dependent"),
      pgates.DataIndependentGate(
          initial_probability=0.4, seed=2, name="independent"
      ),
      pgates.StochasticDepthGate(0.8, seed=3, name="stochastic"),
      None,
  )
  images = keras.Input((8, 8, 1), name="images")
  x = keras.layers.Rescaling(1 / 16)(images)
  x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
  decisions = []
  for i, gate in enumerate(gates):
    branch = keras.Sequential(
        [keras.layers.Conv2D(4, 3, padding="same"), pgates.BatchNormalization()]
    )
    block = pgates.GatedResidual(
        branch, gate=gate, activated_inputs=True, name=f"block{i}"
    )
    x, *decision = block(x)
    decisions.append(decision)
  x = keras.layers.GlobalAveragePooling2D()(x)
  logits = keras.layers.Dense(10, name="classifier")(x)
  return pgates.GatedModel(
      images, pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  )


def write_models(folder: pathlib.Path) -> None:
  """One `.keras` file of a compiled model, and one of each strategy."""
  folder.mkdir()
  model = make_gated_model()
  model.compile(
      pgates.CoupledSGD(0.05, momentum=0.9),
      keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      rate_loss=pgates.TargetRateLoss(0.6, weight=2.0),
  )
  generator = np.random.default_rng(0)
  images = generator.uniform(0, 16, (64, 8, 8, 1)).astype(np.float32)
  labels = generator.integers(0, 10, 64)
  model.fit(images, labels, epochs=2, batch_size=16, verbose=0)
  (gate,) = (
      block.gate
      for block in pgates.gated_blocks(model)
      if isinstance(block.gate, pgates.DataDependentGate)
  )
  # Half of the images are on either side of 0.5, some below 0.3.
  gate.logit.kernel.assign(generator.normal(0, 40, gate.logit.kernel.shape))
  images, labels = images[:NUM_IMAGES], labels[:NUM_IMAGES]
  logits = model.predict(images, verbose=0)["gate_logits"][:, 0]
  gate.logit.bias.assign(gate.logit.bias - np.median(logits))
  arrays = {"images": images, "labels": labels}
  model.save(folder / "gate_kinds.keras")
  logs = model.evaluate(images, labels, return_dict=True, verbose=0)
  arrays |= {f"logs/{name}": value for name, value in logs.items()}
  answers = {"gate_kinds": model.predict(images, verbose=0)}
  for name, (strategy, execution) in SAVED_STRATEGIES.items():
    decided = pgates.with_strategy(model, strategy, execution=execution)
    decided.save(folder / f"{name}.keras")
    answers[name] = decided.predict(images, verbose=0)
  for name, outputs in answers.items():
    arrays |= {f"{name}/{output}": value for output, value in outputs.items()}
  np.savez_compressed(folder / "outputs.npz", **arrays)


def write_export(
    model: pathlib.Path, folder: pathlib.Path, scratch: pathlib.Path
) -> None:
  """A SavedModel and a TF-Lite file, and what they answer."""
  images = np.load(model.parent / "outputs.npz")["images"]
  run(
      "export.export_model",
      f"--model={model}",
      f"--output_dir={folder}",
      "--name=digits",
      "--dataset=digits",
      f"--data_dir={scratch}/data",
      "--format=saved_model,tflite",
      "--strategy=threshold:0.4",
  )
  for name in ("export.json", "models.config"):
    hide_folders(folder / name, scratch, folder.parent)
  served = tf.saved_model.load(str(folder / "digits" / "1"))
  signature = served.signatures["serving_default"]
  answers = signature(images=tf.constant(images))
  np.savez_compressed(
      folder / "answers.npz",
      images=images,
      **{name: value.numpy() for name, value in answers.items()},
  )


def write_comparison(folder: pathlib.Path, scratch: pathlib.Path) -> None:
  """A comparison of one run, but for checkpoints, plots and pages."""
  work = scratch / "comparison"
  run(
      "trainers.compare",
      *FINISHED,
      f"--workdir={work}",
      f"--data_dir={scratch}/data",
      "--methods=per_batch_dependent",
      "--seeds=1",
      "--recalibration_batches=2",
  )
  copied = (
      *("recipe.json", "comparison.json"),
      *(f"{CELL}/{name}" for name in FILES_OF_A_RUN),
  )
  for name in copied:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(work / name, folder / name)
  for name in ("recipe.json", "comparison.json", f"{CELL}/config.json"):
    hide_folders(folder / name, scratch)


def write_interrupted_run(folder: pathlib.Path, scratch: pathlib.Path) -> None:
  """A run as it was after its first epoch, and the history of its second."""
  work = scratch / "interrupted"
  place = (f"--workdir={work}", f"--data_dir={scratch}/data")
  run("trainers.train", *INTERRUPTED, *place, "--keep_checkpoints=9")
  folder.mkdir()
  shutil.copy(work / "config.json", folder / "config.json")
  hide_folders(folder / "config.json", scratch)
  first, second = (work / "history.jsonl").read_text().splitlines()
  (folder / "history.jsonl").write_text(f"{first}\n")
  (folder / "second_epoch.json").write_text(f"{second}\n")
  shutil.copytree(
      work / "checkpoints" / FIRST_EPOCH, folder / "checkpoints" / FIRST_EPOCH
  )


def hide_folders(path: pathlib.Path, *folders: pathlib.Path) -> None:
  """Takes folders of this machine out of a file."""
  text = path.read_text()
  for folder in (*folders, pathlib.Path.cwd()):
    text = text.replace(str(folder), "/nowhere")
  path.write_text(text)


def run(program: str, *arguments: str) -> None:
  subprocess.run([sys.executable, "-m", program, *arguments], check=True)


if __name__ == "__main__":
  main(sys.argv[1])
