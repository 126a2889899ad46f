"""Tests of `pgates.networks.networks`."""

import pytest

import pgates
from pgates.networks import networks

# Blocks, by name; the depths that the papers use, and the nearest.
_BLOCKS = {
    "resnet18": 8,
    "resnet34": 16,
    "resnet50": 16,
    "resnet101": 33,
    "resnet152": 50,
    "cifar_resnet8": 3,
    "cifar_resnet110": 54,
}


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        pytest.param("resnet50", marks=pytest.mark.slow),
        "cifar_resnet8",
    ],
)
def test_network_is_the_one_of_the_name(name):
  size = 32 if name.startswith("resnet") else 8
  model = pgates.build_network(
      name, 7, gate="independent", input_shape=(size, size, 3)
  )
  assert model.name == name
  assert model.output["logits"].shape == (None, 7)
  blocks = pgates.gated_blocks(model)
  assert len(blocks) == _BLOCKS[name]
  assert {type(b.gate) for b in blocks} == {pgates.DataIndependentGate}


@pytest.mark.parametrize("name", [*_BLOCKS, "MobileNetV2", "ResNet50"])
def test_known_names_are_accepted(name):
  networks.check_name(name)


@pytest.mark.parametrize(
    "name",
    ["resnet20", "cifar_resnet2", "cifar_resnet18", "resnet50v2", "vgg16", ""],
)
def test_unknown_network_is_refused_with_those_known(name):
  with pytest.raises(
      ValueError, match=rf"6n \+ 2.*MobileNetV2.*Received: '{name}'"
  ):
    pgates.build_network(name, 10)


def test_unknown_option_is_refused():
  with pytest.raises(TypeError, match="'gates'"):
    pgates.build_network("cifar_resnet8", 10, gates="independent")


def test_arguments_are_for_networks_of_keras():
  networks.check_arguments("MobileNetV2", {"alpha": 0.35})
  networks.check_arguments("resnet50", {})
  for arguments in ({"alpha": 0.35}, {"gate": "none"}):
    with pytest.raises(ValueError, match="resnet50 takes no arguments"):
      pgates.build_network("resnet50", 10, arguments=arguments)
