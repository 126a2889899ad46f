"""The `tf.distribute` strategy of a run."""

import tensorflow as tf


def make_strategy(kind, *, num_virtual_devices=1):
  """Makes the strategy; call it before TensorFlow has used a device.

  Args:
    kind: `auto` (mirrored where there are several devices), `one_device` or
      `mirrored`.
    num_virtual_devices: into how many the CPU is split.

  Returns:
    A `tf.distribute.Strategy`.

  Raises:
    ValueError: if `mirrored` finds one device only.
  """
  if num_virtual_devices > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    existing = tf.config.get_logical_device_configuration(cpu) or []
    if len(existing) < num_virtual_devices:
      tf.config.set_logical_device_configuration(
          cpu, [tf.config.LogicalDeviceConfiguration()] * num_virtual_devices
      )
    devices = [f"CPU:{i}" for i in range(num_virtual_devices)]
    # Collectives between CPUs of one process keep keys across strategies.
    return tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
  gpus = tf.config.list_logical_devices("GPU")
  if kind == "mirrored" and len(gpus) < 2:
    raise ValueError(
        "--distribution=mirrored needs several GPUs, or "
        f"--num_virtual_devices. Found: {len(gpus)} GPU(s)."
    )
  if kind == "one_device" or len(gpus) < 2:
    return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
  return tf.distribute.MirroredStrategy()
