"""What a layer with an energy is saved as."""

from __future__ import annotations

from typing import Any

from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.saving.format import Kind, LayerArguments
from attenergy.energies.settings.numbers import plain


def energy_layer_arguments(layer: EnergyLayer, kind: Kind) -> LayerArguments:
    """The description of a layer whose energy is its own; of that what it holds now counts.

    Raises:
        ValueError: see `Pretrained.save_pretrained`.
    """
    return layer.layer_arguments(layer.energy.spec, _settings(layer), kind=kind)


def arguments_around(heads: EnergyLayer, kind: Kind, **own: Any) -> LayerArguments:
    """The description of a layer that has maps of its own around heads with an energy.

    Args:
        heads: with the energy.
        kind: which class the layer is.
        **own: its arguments, of which None is not given.

    Raises:
        ValueError: see `Pretrained.save_pretrained`.
    """
    inside = {name: value for name, value in _settings(heads).items() if name != "dim"}
    own = {name: plain(value) for name, value in own.items()}
    given = {name: value for name, value in own.items() if value is not None}
    return heads.layer_arguments(heads.energy.spec, inside | given, kind=kind)


def _settings(layer: EnergyLayer) -> dict[str, Any]:
    own = (*type(layer).__signature__.parameters, *layer.SETTINGS, *layer.PROJECTION_SETTINGS)
    settings = {name: value for name, value in layer.given.items() if name in own}
    return settings | layer.energy.settings
