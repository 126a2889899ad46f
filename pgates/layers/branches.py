"""The branches and shortcuts of ResNets."""

import keras

from pgates.layers import normalization


def conv(
    filters: int, kernel_size: int, *, strides: int = 1, name: str | None = None
) -> list[keras.layers.Layer]:
  """The layers of a bias-free convolution padded as PyTorch does.

  TensorFlow's "same" pads other pixels at stride 2, which would shift the
  weights of others by half a pixel; there the padding is explicit.

  Args:
    filters: output channels.
    kernel_size: odd integer.
    strides: integer.
    name: of the convolution.

  Returns:
    A list of one or two Keras layers.
  """
  explicit = strides > 1 and kernel_size > 1
  layer = keras.layers.Conv2D(
      filters,
      kernel_size,
      strides=strides,
      padding="valid" if explicit else "same",
      data_format="channels_last",
      use_bias=False,
      kernel_initializer=keras.initializers.VarianceScaling(
          2.0, mode="fan_out", distribution="untruncated_normal"
      ),
      name=name,
  )
  if not explicit:
    return [layer]
  padding = keras.layers.ZeroPadding2D(
      kernel_size // 2, data_format="channels_last"
  )
  return [padding, layer]


def basic_branch(
    filters: int, *, strides: int = 1, synchronized: bool = False
) -> keras.Sequential:
  """3x3 conv - BN - relu - 3x3 conv - BN, of ResNet-18, 34 and CIFAR.

  Args:
    filters: output channels.
    strides: of the first convolution.
    synchronized: whether batch statistics are over all replicas.

  Returns:
    A `keras.Sequential`, [batch, height, width, channels] ->
    [batch, height / strides, width / strides, filters].
  """
  norm = normalization.BatchNormalization
  return keras.Sequential(
      [
          *conv(filters, 3, strides=strides, name="conv1"),
          norm(synchronized=synchronized, name="bn1"),
          keras.layers.ReLU(),
          *conv(filters, 3, name="conv2"),
          norm(synchronized=synchronized, name="bn2"),
      ],
      name="branch",
  )


def bottleneck_branch(
    filters: int, *, strides: int = 1, synchronized: bool = False
) -> keras.Sequential:
  """1x1 - 3x3 (with the stride) - 1x1 convolutions, of ResNet-50 and deeper.

  Args:
    filters: channels of the 3x3 convolution; the output has four times that.
    strides: of the 3x3 convolution.
    synchronized: whether batch statistics are over all replicas.

  Returns:
    A `keras.Sequential`, [batch, height, width, channels] ->
    [batch, height / strides, width / strides, 4 * filters].
  """
  norm = normalization.BatchNormalization
  return keras.Sequential(
      [
          *conv(filters, 1, name="conv1"),
          norm(synchronized=synchronized, name="bn1"),
          keras.layers.ReLU(),
          *conv(filters, 3, strides=strides, name="conv2"),
          norm(synchronized=synchronized, name="bn2"),
          keras.layers.ReLU(),
          *conv(4 * filters, 1, name="conv3"),
          norm(synchronized=synchronized, name="bn3"),
      ],
      name="branch",
  )


def projection_shortcut(
    filters: int, *, strides: int = 1, synchronized: bool = False
) -> keras.Sequential:
  """1x1 conv - BN, the shortcut where a block changes the shape.

  Args:
    filters: output channels.
    strides: of the convolution.
    synchronized: whether batch statistics are over all replicas.

  Returns:
    A `keras.Sequential`.
  """
  return keras.Sequential(
      [
          *conv(filters, 1, strides=strides, name="conv"),
          normalization.BatchNormalization(
              synchronized=synchronized, name="bn"
          ),
      ],
      name="shortcut",
  )
