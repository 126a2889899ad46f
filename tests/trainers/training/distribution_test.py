"""Tests of `trainers.training.distribution`; the CPU is split into four."""

import pytest
import tensorflow as tf

from trainers.training import distribution


def _sum_over_replicas(strategy):
  def step():
    context = tf.distribute.get_replica_context()
    place = tf.cast(context.replica_id_in_sync_group, tf.float32)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, 10.0 + place)

  results = strategy.experimental_local_results(
      tf.function(lambda: strategy.run(step))()
  )
  return [float(result) for result in results]


@pytest.mark.parametrize("kind", ["auto", "mirrored"])
def test_virtual_devices_are_replicas(kind):
  strategy = distribution.make_strategy(kind, num_virtual_devices=3)
  assert strategy.num_replicas_in_sync == 3
  assert _sum_over_replicas(strategy) == [33.0] * 3


@pytest.mark.parametrize("kind", ["auto", "one_device"])
def test_one_device_is_one_replica(kind):
  strategy = distribution.make_strategy(kind)
  assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
  assert _sum_over_replicas(strategy) == [10.0]


def test_cpu_is_split_where_it_is_not_yet(monkeypatch):
  split = []
  config = tf.config
  monkeypatch.setattr(
      config, "get_logical_device_configuration", lambda cpu: None
  )
  monkeypatch.setattr(
      config,
      "set_logical_device_configuration",
      lambda cpu, parts: split.append((cpu.device_type, len(parts))),
  )
  distribution.make_strategy("auto", num_virtual_devices=2)
  assert split == [("CPU", 2)]


def test_more_virtual_devices_than_there_can_be_are_refused():
  with pytest.raises(RuntimeError, match="cannot be modified"):
    distribution.make_strategy("auto", num_virtual_devices=5)


@pytest.mark.parametrize(
    "kind, num_gpus, expected",
    [
        ("auto", 2, "mirrored"),
        ("mirrored", 2, "mirrored"),
        ("one_device", 2, "GPU:0"),
        ("auto", 1, "GPU:0"),
    ],
)
def test_gpus_are_used(monkeypatch, kind, num_gpus, expected):
  monkeypatch.setattr(
      tf.config, "list_logical_devices", lambda kind: ["GPU"] * num_gpus
  )
  monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
  monkeypatch.setattr(tf.distribute, "OneDeviceStrategy", lambda name: name)
  assert distribution.make_strategy(kind) == expected


def test_mirrored_on_one_device_is_refused():
  with pytest.raises(ValueError, match="several GPUs.*Found: 0 GPU"):
    distribution.make_strategy("mirrored")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "needs TF_CONFIG.*Received: None"),
        ("{", "needs TF_CONFIG"),
        ('{"cluster": {"worker": ["a:1"]}}', "needs TF_CONFIG"),
        (
            '{"cluster": {"worker": ["a:1"]},'
            ' "task": {"type": "worker", "index": 1}}',
            "task .'worker', 1.; expected a worker from 0 to 0",
        ),
        (
            '{"cluster": {"worker": ["a:1"]},'
            ' "task": {"type": "chief", "index": 0}}',
            "expected a worker",
        ),
    ],
)
def test_workers_that_are_not_named_are_refused(monkeypatch, text, message):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  if text is not None:
    monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(ValueError, match=message):
    distribution.make_strategy("multi_worker")


@pytest.mark.parametrize("devices", [1, 2])
def test_one_process_writes_and_decides_by_itself(devices):
  strategy = distribution.make_strategy("auto", num_virtual_devices=devices)
  assert distribution.is_chief(strategy)
  any_worker = distribution.any_worker(strategy)
  assert any_worker(True) and not any_worker(False)
  assert distribution.sum_over_workers(strategy)(3) == 3
  assert distribution.num_workers(strategy) == 1
