"""One worker of several that evaluate a stored data set together.

    TF_CONFIG=... python -m tests.helpers.evaluating_worker DATA_DIR

Prints how many examples were counted, and the sums of their labels and of
the labels' squares.
"""

import json
import sys

import keras

import image_data
from image_data import datasets
from tests.helpers import training_runs
from trainers.training import distribution
from trainers.training import loop


@keras.saving.register_keras_serializable(package="pgates_tests")
class LabelSum(keras.metrics.Metric):
  """Sums a power of the labels."""

  def __init__(self, power):
    super().__init__(name=f"labels_{power}")
    self.power = power
    self.total = self.add_variable((), "zeros", name="total")

  def update_state(self, labels, logits, sample_weight=None):
    del logits, sample_weight
    powers = keras.ops.cast(labels, "float32") ** self.power
    self.total.assign_add(keras.ops.sum(powers))

  def result(self):
    return self.total + 0.0


def main(data_dir):
  # So that it is read from files, and the number of batches is not known.
  datasets._MEMORY_LIMIT_BYTES = 0
  strategy = distribution.make_strategy("multi_worker")
  dataset = image_data.open_dataset("numbered", data_dir=data_dir)
  batches = image_data.eval_batches(dataset, "train", batch_size=8)
  with strategy.scope():
    model = training_runs.dense_network(
        training_runs.config(), image_shape=(6, 8, 1), num_classes=100
    )
    model.compile("sgd", metrics=[LabelSum(power) for power in range(3)])
  loop.evaluate(model, batches)
  results = model.get_metrics_result()
  powers = [float(results[f"labels_{power}"]) for power in range(3)]
  print(json.dumps({"powers": powers}))


if __name__ == "__main__":
  main(sys.argv[1])
