"""Programs of an acceleration that leave what they should, in no time."""

import pathlib
import subprocess

from file_io import artifacts


class Programs:
  """In place of `children.Children`.

  Args:
    accuracies: of validation images, by name of a run's folder.
    times: by name, of the given network's; of all formats and batch sizes.
    fails: name of a module that fails.
  """

  def __init__(self, accuracies, times, fails=None):
    self._accuracies = accuracies
    self._times = times
    self._fails = fails
    self.calls = []

  def call(self, module, arguments):
    """Notes the command, and writes what its program would."""
    self.calls.append((module, list(arguments)))
    if module == self._fails:
      raise subprocess.CalledProcessError(1, ["python", "-m", module])
    given = dict(a.removeprefix("--").partition("=")[::2] for a in arguments)
    workdir = pathlib.Path(given["workdir"])
    if module == "trainers.train":
      workdir.mkdir(parents=True)
      (workdir / "model.keras").write_bytes(b"")
    elif module == "trainers.evaluate":
      result = {"accuracy": self._accuracies[workdir.name], "macs": 1.0}
      path = given.get("output", workdir / "evaluation.json")
      artifacts.write_json(path, {"strategies": {"map": result}})
    elif module == "export.export_model":
      self._export(workdir)
    elif module == "export.time_exports":
      self._time(given)
    else:
      assert module == "trainers.report"
      pathlib.Path(given["output"]).write_text("<html>")

  def _export(self, workdir):
    folder, name = workdir / "exported", workdir.name
    (folder / "model" / "1").mkdir(parents=True)
    (folder / "model" / "1" / "saved_model.pb").write_text(name)
    (folder / "model.tflite").write_text(name)
    chosen = {"validation_accuracy": self._accuracies[name]}
    rows = [
        {
            "format": format,
            "path": path,
            "bytes": 10,
            "macs": 100.0 * self._times[name],
            "accuracy": self._accuracies[name] - 0.01,
            **({} if name == "given" else {"auto": chosen}),
        }
        for format, path in (
            ("saved_model", "model/1"),
            ("tflite", "model.tflite"),
        )
    ]
    artifacts.write_json(folder / "export.json", {"variants": rows})

  def _time(self, given):
    rows = []
    for folder in given["exports"].split(","):
      ratio = self._times[pathlib.Path(folder).parent.name]
      for path, sizes in (("model/1", "18"), ("model.tflite", "1")):
        ratios = dict.fromkeys(sizes, ratio)
        rows.append({"export": folder, "path": path, "time_ratios": ratios})
    artifacts.write_json(given["output"], {"rows": rows})


def settings(**others):
  """The settings of a recipe, as the program reads them."""
  return {
      **{"dataset": "digits", "data_dir": "/data", "epochs": 2},
      "network": "file:/my.keras",
      **others,
  }


def arguments_of(programs, module, name):
  """The arguments of the one call that names a folder, at the end of one."""
  (found,) = (
      arguments
      for called, arguments in programs.calls
      if called == module and any(a.endswith(f"/{name}") for a in arguments)
  )
  return found


def row(network, format, time, macs, accuracy, *, chosen=False):
  """A row of `accelerated.json`; `accuracy` is of validation data."""
  return {
      "network": network,
      "format": format,
      "path": "unused",
      "validation_accuracy": accuracy,
      "accuracy": accuracy - 0.01,
      "macs": macs,
      "bytes": 123_456,
      "times": {"1": time, "8": time + 0.05},
      "chosen": chosen,
  }
