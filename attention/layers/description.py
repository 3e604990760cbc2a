"""What a layer with an energy is saved as."""

from __future__ import annotations

from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.saving.format import Kind, LayerArguments


def energy_layer_arguments(layer: EnergyLayer, kind: Kind) -> LayerArguments:
    """The description of a layer whose energy is its own; of that what it holds now counts.

    Raises:
        ValueError: see `Pretrained.save_pretrained`.
    """
    own = (*type(layer).__signature__.parameters, *layer.SETTINGS, *layer.PROJECTION_SETTINGS)
    settings = {name: value for name, value in layer.given.items() if name in own}
    return layer.layer_arguments(layer.energy.spec, settings | layer.energy.settings, kind=kind)
