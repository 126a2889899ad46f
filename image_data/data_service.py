"""Batches that the workers of a `tf.data` service make."""

import socket
import threading

import tensorflow as tf

_SECONDS = 30  # For the first element of a service.


def distribute(batches: tf.data.Dataset, address: str) -> tf.data.Dataset:
  """Lets the workers of a `tf.data` service make batches.

  Args:
    batches: what they make. The workers share it by epochs, where a data set
      begins with these.
    address: of the service's dispatcher, as in "grpc://host:5000".

  Returns:
    The batches; of several workers, those of their epochs mix.

  Raises:
    ValueError: if no service answers.
  """
  _check_answers(address)
  service = tf.data.experimental.service
  return batches.apply(
      service.distribute(
          processing_mode=service.ShardingPolicy.DYNAMIC, service=address
      )
  )


def _check_answers(address):
  """TensorFlow would wait for ever, for a dispatcher and for its workers."""
  protocol, _, place = address.partition("://")
  host, _, port = place.rpartition(":")
  try:
    if protocol != "grpc" or not host:
      raise ValueError("not of the form grpc://host:port")
    socket.create_connection((host, int(port)), timeout=10).close()
    _check_delivers(address)
  except (OSError, ValueError) as error:
    raise ValueError(
        f"No tf.data service answers at {address!r}: {error}. Expected its "
        "dispatcher's address, as in grpc://host:5000."
    ) from error


def _check_delivers(address):
  service = tf.data.experimental.service
  example = tf.data.Dataset.range(1).apply(
      service.distribute(
          processing_mode=service.ShardingPolicy.OFF, service=address
      )
  )
  # No call of TensorFlow's here takes a time limit. The thread may stay behind.
  thread = threading.Thread(target=lambda: list(example), daemon=True)
  thread.start()
  thread.join(_SECONDS)
  if thread.is_alive():
    raise ValueError(
        f"nothing was delivered within {_SECONDS} s; does the dispatcher have "
        "workers?"
    )
