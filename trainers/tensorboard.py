"""TensorBoard's files of a run."""

import tensorflow as tf

_TAGS = {
    "loss": "loss/total",
    "task_loss": "loss/task",
    "rate_loss": "loss/rate",
    "accuracy": "accuracy",
    "open_rate": "gates/open_rate",
    "macs": "gates/macs",
    "learning_rate": "schedule/learning_rate",
    "temperature": "schedule/temperature",
}


class EpochWriter:
  """Writes the scalars of each epoch, and each gate's open rate.

  Args:
    directory: TensorBoard's folder; training and validation have one each.
    block_names: of the gates.
  """

  def __init__(self, directory, *, block_names):
    self._block_names = block_names
    self._writers = {
        "": tf.summary.create_file_writer(f"{directory}/train"),
        "val_": tf.summary.create_file_writer(f"{directory}/validation"),
    }

  def write(self, record):
    """Writes one line of `history.jsonl`, a dict."""
    for prefix, writer in self._writers.items():
      with writer.as_default(step=record["epoch"]):
        for name, tag in _TAGS.items():
          if record.get(prefix + name) is not None:
            tf.summary.scalar(tag, record[prefix + name])
        rates = record[f"{prefix}gate_open_rates"]
        for block, rate in zip(self._block_names, rates, strict=True):
          tf.summary.scalar(f"gate_open_rates/{block}", rate)
      writer.flush()
