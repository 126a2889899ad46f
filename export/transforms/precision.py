"""Networks trained in mixed precision, computing in float32."""

import pgates

_HALF = ("bfloat16", "float16", "mixed_bfloat16", "mixed_float16")


def in_float32(model: pgates.GatedModel) -> pgates.GatedModel:
  """A network that computes in float32, whatever it was trained in.

  The engines that run exports know no bfloat16, or round it otherwise than
  Keras; the variables are float32 in any case.

  Args:
    model: a `pgates.GatedModel`.

  Returns:
    The model itself where it is in float32 already; else a copy.
  """
  config = model.get_config()
  replaced = _replaced(config)
  if replaced == config:
    return model
  copy = pgates.GatedModel.from_config(replaced)
  copy.set_weights(model.get_weights())
  return copy


def _replaced(config):
  """A configuration with float32 in the place of every shorter type."""
  if isinstance(config, list | tuple):
    return type(config)(map(_replaced, config))
  if not isinstance(config, dict):
    return config
  result = {name: _replaced(value) for name, value in config.items()}
  if result.get("class_name") == "DTypePolicy":
    result["config"] = _of_type(result["config"], "name")
  return _of_type(result, "dtype")


def _of_type(config, name):
  value = config.get(name)
  is_half = isinstance(value, str) and value in _HALF
  return {**config, name: "float32"} if is_half else config
