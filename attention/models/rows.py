"""The last block of a model computed at some of its positions only.

A state that no other acts on can be computed without the others: its layer reads the stored
patterns of all positions, and the states of some. What comes after a layer goes by position anyway.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from attenergy.attention.gradients.chunked import can_chunk
from attenergy.attention.layers.energy_attention import EnergyAttention
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.mixers import Mixer
from attenergy.attention.models.direct_calls import forward_is_newer, forward_is_of
from attenergy.attention.modules.projections import visible


def states_apart(layer: nn.Module, mask: Tensor | None = None, is_causal: bool = False) -> bool:
    """Whether `layer` may compute some states alone: no state acts on another.

    Where patterns act on each other, those that no state sees count as absent; so all states have
    to be there if the mask differs by state. A `forward` of the user's own may be meant for all.
    Hooks decide nothing here: they see what is computed.

    Args:
        layer: an energy's, a mixer, or groups of heads, all of which must allow it.
        mask: boolean with four axes, or None.
        is_causal: whether later patterns are hidden.
    """
    if forward_is_of(layer, HeadGroups):
        groups = cast(HeadGroups, layer).groups
        return all(states_apart(group, mask, is_causal) for group in groups)
    if forward_is_of(layer, EnergyAttention):
        energy = cast(EnergyAttention, layer).energy
        if energy.patterns_interact and (is_causal or (mask is not None and mask.shape[-2] > 1)):
            return False
        return can_chunk(energy)
    if forward_is_newer(layer, "states_apart"):
        return False
    return isinstance(layer, Mixer) and layer.states_apart


def at_rows(
    layer: nn.Module,
    x: Tensor,
    rows: slice,
    *,
    mask: Tensor | None = None,
    field: Tensor | None = None,
    is_causal: bool = False,
) -> Tensor:
    """layer(x)[:, rows] for a layer whose states are apart, without the other states.

    Args:
        layer: for which `states_apart` holds, without rotary positions.
        x: (B, L, W).
        rows: which positions, with a step of 1.
        mask: boolean with four axes, broadcastable to (B, H, L, L).
        field: broadcastable to (B, H, L, L).
        is_causal: whether position i sees only positions j <= i.

    Returns:
        (B, R, W).
    """
    length = x.shape[1]
    seen = visible(mask, is_causal, length, length, x.device)
    if seen is not None:
        seen = seen[(None,) * (4 - seen.ndim)]  # causality alone has two axes, which would be vague
    seen, field = (
        at if at is None or at.shape[-2] == 1 else at[..., rows, :] for at in (seen, field)
    )
    out: Tensor = layer(x[:, rows], x, mask=seen, field=field)
    return out
