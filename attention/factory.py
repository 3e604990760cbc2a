"""From a registry entry to a layer, whether it has an energy or not."""

from __future__ import annotations

from typing import Any

from torch import nn

from attenergy.attention.layers.energy_attention import EnergyAttention
from attenergy.attention.mixers import make_mixer
from attenergy.energies import EnergyLike
from attenergy.energies.sources import is_formula
from attenergy.registry import MixerSpec, Registry, given_registry


def make_layer(
    layer: EnergyLike | MixerSpec,
    *,
    embed_dim: int,
    num_heads: int,
    registry: Registry | None = None,
    head_dim: int | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> nn.Module:
    """Build an energy's layer or a mixer; both take x (B, L, E) and return (B, L, E).

    Args:
        layer: name or entry of a mixer, or whatever names an energy (`attenergy.make_energy`).
        embed_dim: E.
        num_heads: H.
        registry: where the name is looked up; the built-in one and plug-ins if None.
        head_dim: width of a head; E / H if None.
        dropout: probability of dropping a weight in training.
        **settings: for an energy its parameters, choices and options, and everything else that
            `EnergyAttention` understands; for a mixer its options.

    Raises:
        ValueError: unknown name or setting, or numbers that do not fit.
    """
    if isinstance(layer, str) and not is_formula(layer):
        layer = given_registry(registry).layer(layer)
    if isinstance(layer, MixerSpec):
        return make_mixer(
            layer,
            embed_dim=embed_dim,
            num_heads=num_heads,
            head_dim=head_dim,
            dropout=dropout,
            **settings,
        )
    return EnergyAttention(
        embed_dim, num_heads, layer, head_dim=head_dim, registry=registry, dropout=dropout,
        **settings,
    )  # fmt: skip
