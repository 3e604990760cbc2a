"""Decoding position after position without computing the earlier ones again.

`B` batch, `H` heads, `S` positions seen before, `n` new positions, `E` model width.

    projected   keys X and values of the earlier positions are stored; the new states relax on them.
                Energies whose states and patterns do not interact, and `HypernetworkAttention`
    streamed    the layer has a state of its own (`init_state`, `step`); mixers without positions
    groups      a layer of several groups of heads, each with a cache of its own kind
    none        any other layer; the model then reads all positions again for every new one

A layer says in `decoding` which of the first two it can do, the best first. The blocks of one model
may have caches of different kinds. A layer with hooks, or with a `forward` that is newer than what
it says, has none: a cache does not call it as the model does.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.models.direct_calls import forward_is_newer, forward_is_of, is_hooked
from attenergy.attention.modules.positions import rotates
from attenergy.attention.modules.projections import Decoding, Projections

Kind = Decoding | Literal["groups", "none"]


class Bias(Protocol):
    """A relative-position bias: (1, H, length - start, length)."""

    def __call__(self, length: int, start: int = 0) -> Tensor:
        """The rows from `start` of that of so many positions."""


class LayerCache(Protocol):
    """What one layer remembers of the positions that it has seen."""

    def extend(self, x: Tensor, bias: Bias | None = None) -> Tensor:
        """Return what the layer gives at the new positions.

        Args:
            x: the layer's inputs there, (B, n, E).
            bias: makes the layer's field of so many positions, from the row of the first new one;
                None if it has none.

        Returns:
            (B, n, E), equal to the last n rows of the causal layer on all positions so far.
        """


def caching(layer: nn.Module, *, has_field: bool = False) -> Kind:
    """How a layer is decoded; see the head of this module.

    Args:
        layer: a causal layer.
        has_field: whether it gets a field, as with relative positions.
    """
    if is_hooked(layer):
        return "none"
    if isinstance(layer, HeadGroups):
        kinds = [caching(group, has_field=has_field) for group in layer.groups]
        direct = forward_is_of(layer, HeadGroups)
        return "groups" if direct and "none" not in kinds else "none"
    steps = hasattr(layer, "step") and hasattr(layer, "init_state")
    ways: tuple[Decoding, ...] = getattr(layer, "decoding", ("streamed",) if steps else ())
    # A step has neither a field nor a place that a rotation could follow from.
    streams = not (has_field or rotates(layer))
    fits = {
        "projected": not forward_is_newer(layer, "decoding"),
        "streamed": streams and not forward_is_newer(layer, "step"),
    }
    return next((way for way in ways if fits[way]), "none")


def layer_cache(layer: nn.Module, *, has_field: bool = False) -> LayerCache | None:
    """An empty cache of the kind that suits the layer, or None; arguments as of `caching`."""
    kind = caching(layer, has_field=has_field)
    if kind == "none":
        return None
    if isinstance(layer, HeadGroups):
        return GroupsCache(layer, has_field=has_field)
    return ProjectedCache(layer) if kind == "projected" else StreamedCache(layer)


class ProjectedCache:
    """The keys and values of earlier positions, `projected` in `caching`.

    The layer itself runs, with its own weights, on projections that remember.
    """

    def __init__(self, layer: nn.Module) -> None:
        projections = layer.projections
        assert isinstance(projections, Projections)  # for the type checker
        self.memory = _Remembering.of(projections)
        self.layer = copy.copy(layer)
        # The copy shares all but this dictionary, so that the layer keeps its own projections.
        self.layer._modules = {**layer._modules, "projections": self.memory}

    def extend(self, x: Tensor, bias: Bias | None = None) -> Tensor:
        """See `LayerCache`."""
        seen, total = self.memory.seen, self.memory.seen + x.shape[1]
        self.memory.new = x
        # One new position sees all; of several, each sees those before it and itself.
        mask = None
        if x.shape[1] > 1:
            shape = 1, 1, x.shape[1], total
            mask = torch.ones(shape, dtype=torch.bool, device=x.device).tril(seen)
        field = None if bias is None else bias(total, start=seen)
        # Only the length of this context is read: `memory` makes keys and values from `new`.
        context = x[:, :1].expand(-1, total, -1)
        out: Tensor = self.layer(x, context, mask=mask, field=field)
        self.memory.advance()
        return out


class StreamedCache:
    """The state of a recurrent layer, `streamed` in `caching`."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer: Any = layer
        self.state: Any = None

    def extend(self, x: Tensor, bias: Bias | None = None) -> Tensor:
        """See `LayerCache`; there is no bias where a layer streams."""
        assert bias is None
        if self.state is None:
            self.state = self.layer.init_state(x.shape[0])
        rows = []
        for row in x.unbind(1):
            out, self.state = self.layer.step(row, self.state)
            rows.append(out)
        return torch.stack(rows, dim=1)


class GroupsCache:
    """A cache for each group of heads, `groups` in `caching`."""

    def __init__(self, layer: HeadGroups, *, has_field: bool) -> None:
        self.layer = layer
        each = [layer_cache(group, has_field=has_field) for group in layer.groups]
        self.caches = [cache for cache in each if cache is not None]

    def extend(self, x: Tensor, bias: Bias | None = None) -> Tensor:
        """See `LayerCache`: the sum of what the groups give."""
        heads = self.layer.heads_of_groups()
        outs = [
            cache.extend(x, None if bias is None else partial(_field_of, bias, own))
            for cache, own in zip(self.caches, heads, strict=True)
        ]
        return torch.stack(outs).sum(0)


def _field_of(bias: Bias, heads: slice, length: int, start: int = 0) -> Tensor:
    """The rows of some heads of a relative-position bias."""
    return bias(length, start=start)[:, heads]


class _Remembering(Projections):
    """Projections of the new positions only; keys and values come with those of earlier ones."""

    seen: int
    new: Tensor
    earlier: dict[str, Tensor]
    extended: dict[str, Tensor]

    @classmethod
    def of(cls, projections: Projections) -> _Remembering:
        """A view of `projections` with the same weights and an empty memory."""
        view = cls.__new__(cls)
        view.__dict__.update(projections.__dict__)
        view.seen, view.earlier, view.extended = 0, {}, {}
        return view

    def advance(self) -> None:
        """Count the new positions among the earlier ones from now on."""
        self.seen, self.earlier = self.seen + self.new.shape[1], dict(self.extended)

    def queries(self, x: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Queries of the new positions, (B, H, n, d)."""
        return super().queries(x, self.seen)

    def turned_back(self, z: Tensor, offset: int | Tensor = 0) -> Tensor:
        """States of the new positions as seen from there."""
        return super().turned_back(z, self.seen)

    def keys(self, context: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Keys of all positions, (B, G, S + n, d)."""
        return self._all("keys", super().keys(self.new, self.seen))

    def values(self, context: Tensor) -> Tensor:
        """Values of all positions, (B, G, S + n, e)."""
        return self._all("values", super().values(self.new))

    def _all(self, name: str, new: Tensor) -> Tensor:
        before = self.earlier.get(name)
        self.extended[name] = new if before is None else torch.cat([before, new], dim=2)
        return self.extended[name]
