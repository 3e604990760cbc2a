"""Groups of heads with different energies in one layer.

`B` batch, `H` heads of all groups, `L` states (queries), `S` stored patterns (keys), `E` model
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.attention.modules.arguments import check_tensor
from attenergy.attention.modules.positions import rotates
from attenergy.attention.modules.projections import check_extras
from attenergy.attention.saving.format import GroupsArguments, LayerArguments
from attenergy.attention.saving.pretrained import Pretrained, describe
from attenergy.registry import ArgumentError, ArgumentTypeError


class HeadGroups(Pretrained, nn.Module):
    """out = sum_g layer_g(x): the heads of several layers, side by side.

    Every group projects, relaxes or mixes, and reads with heads of its own, and its output map adds
    to those of the others: the same as all heads joined before one output map. Group g has the
    heads after those of the groups before it; a mask or field with H heads is shared out so.

    Args:
        groups: layers of equal `embed_dim`, such as `EnergyAttention` and mixers, at least one.
            Heads of the width that they would have alone (`head_dim=E // H`) make a layer as large
            as one of a single energy, but for one output bias for each further group.

    Attributes:
        groups: the layers.
        num_heads: H.
        embed_dim: E.

    Raises:
        TypeError: a group is no such layer.
        ValueError: there is none, or their widths differ.

    Example:
        >>> layer = attenergy.make_layer("lse+rbm", embed_dim=64, num_heads=8)
        >>> [group.num_heads for group in layer.groups]
        [4, 4]
    """

    def __init__(self, groups: Sequence[nn.Module]) -> None:
        super().__init__()
        groups = list(groups)
        if not groups:
            raise ArgumentError("groups must be at least one layer, got none")
        for group in groups:
            if isinstance(group, HeadGroups) or not all(
                isinstance(getattr(group, name, None), int) for name in ("embed_dim", "num_heads")
            ):
                raise ArgumentTypeError(
                    "a group of heads must be a layer with embed_dim and num_heads, such as "
                    f"EnergyAttention or a mixer, got {type(group).__name__}"
                )
        widths = sorted({_size(group, "embed_dim") for group in groups})
        if len(widths) > 1:
            raise ArgumentError(
                f"all groups must have one embed_dim, got {', '.join(map(str, widths))}"
            )
        self.groups = nn.ModuleList(groups)
        self.embed_dim = widths[0]
        self.num_heads = sum(_size(group, "num_heads") for group in groups)

    @property
    def reads_field(self) -> bool:
        """Whether every group reads a field, and so a relative-position bias."""
        return all(bool(getattr(group, "reads_field", False)) for group in self.groups)

    @property
    def rotary(self) -> bool:
        """Whether a group turns its states and patterns by their positions."""
        return any(map(rotates, self.groups))

    @property
    def has_weights(self) -> bool:
        """Whether every group has weights over patterns."""
        return all(_has_weights(group) for group in self.groups)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return (B, L, E); with `need_weights` a pair of it and the weights (B, H, L, S).

        Args:
            x: states (B, L, E).
            context: stored patterns; the states themselves if None.
            mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern.
            field: broadcastable to (B, H, L, S).
            is_causal: whether state i sees only patterns j <= i.
            need_weights: whether the weights of all heads are wanted.

        Raises:
            ValueError: a shape or type does not fit, or a group has no field, causality, context or
                weights; ask `layer.groups[g]` for what only some of them have.
        """
        check_tensor("x", x)
        stored = x if context is None else context
        if x.ndim == stored.ndim == 3:  # the groups refuse anything else
            check_extras(mask, field, (x.shape[0], self.num_heads, x.shape[1], stored.shape[1]))
        if need_weights and not self.has_weights:
            raise ArgumentError(
                "not every group of heads has weights over patterns; ask those that have, "
                "layer.groups[g](x, need_weights=True)",
                topic="no-weights",
            )
        extra: dict[str, Any] = {"need_weights": True} if need_weights else {}
        outs, weights = [], []
        for group, heads in zip(self.groups, self.heads_of_groups(), strict=True):
            own = {"mask": self._part(mask, heads), "field": self._part(field, heads)}
            out = group(x, context, is_causal=is_causal, **own, **extra)
            outs.append(out[0] if need_weights else out)
            weights += [out[1]] if need_weights else []
        total: Tensor = sum(outs[1:], start=outs[0])
        return (total, torch.cat(weights, dim=1)) if need_weights else total

    def heads_of_groups(self) -> list[slice]:
        """Which of all heads each group has."""
        ends = list(accumulate(_size(group, "num_heads") for group in self.groups))
        return [slice(first, last) for first, last in zip([0, *ends], ends, strict=False)]

    def _part(self, value: Tensor | None, heads: slice) -> Tensor | None:
        """What some heads see of a mask or field, which may be the same for all."""
        if value is None or value.ndim < 3 or value.shape[-3] != self.num_heads:
            return value
        return value[..., heads, :, :]

    def description(self) -> GroupsArguments:
        """What the layer is saved as: its groups.

        Raises:
            ValueError: a group cannot be described; see `Pretrained.save_pretrained`.
        """
        groups = [describe(group) for group in self.groups]
        described = tuple(group for group in groups if isinstance(group, LayerArguments))
        if len(described) < len(groups):
            raise ArgumentError("a group of heads must be a layer to be described")
        return GroupsArguments(groups=described)


def groups_of(layer: nn.Module) -> tuple[nn.Module, ...]:
    """The groups of heads of a layer: itself where all its heads are alike."""
    return tuple(layer.groups) if isinstance(layer, HeadGroups) else (layer,)


def _size(group: nn.Module, name: str) -> int:
    return int(getattr(group, name))


def _has_weights(group: nn.Module) -> bool:
    own = getattr(group, "energy", group)
    return bool(getattr(own, "has_weights", False))
