"""Tests of `benchmarks.equal_time`."""

import json

import pytest

from tests.helpers import programs


@pytest.mark.slow
def test_networks_of_a_comparison_are_timed(tmp_path, data_dir):
  runs, output = tmp_path / "runs", tmp_path / "out.json"
  programs.succeed(
      *("trainers.compare", "--preset=digits", "--epochs=2", "--seeds=1"),
      *("--methods=ungated,cifar_resnet8,per_batch_dependent", "--jobs=2"),
      *(f"--data_dir={data_dir}", f"--workdir={runs}"),
  )
  for _ in range(2):  # The second time, nothing is left.
    done = programs.succeed(
        *("benchmarks.equal_time", f"--comparison={runs}", "--repeats=2"),
        *(f"--output={output}", f"--data_dir={data_dir}"),
    )
  assert done.stdout == f"Wrote {output}.\n"
  (seed,) = json.loads(output.read_text())["seeds"]
  kinds = [network["kind"] for network in seed["networks"].values()]
  assert [kinds.count(k) for k in ("dense", "cascade", "gated")] == [2, 6, 1]
  engines = {"served_1", "served_8", "served_32", "tflite_1"}
  for name, network in seed["networks"].items():
    times = [each["time"] for each in network["engines"].values()]
    assert network["engines"].keys() == engines
    assert min(times) > 0
    if name == "ungated":
      assert set(times) == {1.0}


@pytest.mark.slow
def test_folder_without_finished_runs_is_named_with_what_makes_them(tmp_path):
  done = programs.run(
      *("benchmarks.equal_time", f"--comparison={tmp_path}"),
      f"--output={tmp_path / 'out.json'}",
  )
  assert done.returncode == 1
  assert f"{tmp_path} holds no finished run of ungated" in done.stderr
  assert not (tmp_path / "out.json").exists()
