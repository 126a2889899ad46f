"""Tests of `benchmarks.compared_networks`; more: equal_time_test.py."""

from benchmarks import compared_networks
from trainers.comparison import trials as trials_lib


def _evaluated(folder, *names):
  for name in names:
    (folder / name).mkdir(parents=True)
    (folder / name / "evaluation.json").write_text("{}")


def test_finished_trials_are_found_by_seed(tmp_path):
  _evaluated(
      tmp_path,
      *(
          "ungated/seed0",
          "cifar_resnet8/seed0",
          "per_batch_dependent_0.5/seed0",
      ),
      # Without what times are taken by; and what is no method.
      *("cifar_resnet8/seed1", "else/seed0", "else_0.5/seed0"),
  )
  (tmp_path / "ungated/seed1").mkdir(parents=True)  # Not finished.
  found = compared_networks.finished(tmp_path)
  assert list(found) == [0]
  assert set(found[0]) == {
      trials_lib.Trial("ungated", None, 0),
      trials_lib.Trial("cifar_resnet8", None, 0),
      trials_lib.Trial("per_batch_dependent", 0.5, 0),
  }
