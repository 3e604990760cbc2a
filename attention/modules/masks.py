"""What the axes of a mask mean: one meaning for every shape, and an error where there are two.

    layers and mixers         (S), (L, S), (H, L, S), (B, H, L, S): pairs, as PyTorch broadcasts
    models of tokens          (L), (B, L): padding; (B, L, L), (B, H, L, L): pairs

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys). True is visible, or there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.modules.arguments import check_tensor
from attenergy.energies.masks import is_tame, may_look
from attenergy.registry import MaskError


def tokens_there(mask: Tensor, batch: int, length: int) -> tuple[Tensor, Tensor | None]:
    """The mask of a model of tokens with four axes, and the padding (B or 1, L) if it is one.

    Args:
        mask: boolean. (L) or (B, L): False at padding, which no position sees. (B, L, L): True
            where a position may see another. Or anything with four axes.
        batch: B.
        length: L.

    Raises:
        TypeError: it is no tensor.
        ValueError: a shape or type does not fit.
    """
    check_tensor("mask", mask)
    if mask.dtype != torch.bool:
        raise MaskError(f"mask must be boolean, True where there is something, got {mask.dtype}")
    if mask.ndim == 4:
        if mask.shape[0] not in (1, batch) or {*mask.shape[2:]} - {1, length}:
            raise MaskError(
                f"a mask with four axes must be broadcastable to (B, H, L, L) = ({batch}, H, "
                f"{length}, {length}), got shape {tuple(mask.shape)}"
            )
        return mask, None
    if mask.ndim == 3:
        if mask.shape[0] not in (1, batch) or mask.shape[1:] != (length, length):
            raise MaskError(
                f"a mask with three axes says who sees whom, (B, L, L) = ({batch}, {length}, "
                f"{length}), got shape {tuple(mask.shape)}; one for each head becomes (1, H, L, L) "
                "by mask[None]"
            )
        return mask.unsqueeze(1), None
    padding = mask.expand(1, -1) if mask.ndim == 1 else mask
    fits = padding.ndim == 2 and padding.shape[0] in (1, batch) and padding.shape[1] == length
    if not fits:
        raise MaskError(
            f"a mask with two axes says what is padding, (B, L) = ({batch}, {length}), got shape "
            f"{tuple(mask.shape)}; a (L, L) mask of pairs becomes (1, L, L) by mask[None]"
        )
    return padding[:, None, None, :], padding


def check_meaning(mask: Tensor, full: tuple[int, int, int, int]) -> None:
    """Refuse a mask of pairs that may as well be one of whole samples, by its shape.

    Axes of length 1 are broadcast in either meaning. Also compiled; in a graph that is exported
    for any lengths it is asked of those that are numbers.

    Args:
        mask: of a layer, broadcastable to `full`.
        full: (B, H, L, S).

    Raises:
        ValueError: it has two axes (L, S) that may be padding (B, S), or three (H, L, S) that may
            be pairs of each sample (B, L, S).
    """
    batch, heads, length, _ = full
    if mask.ndim == 2 and _both(mask.shape[0], batch, length):
        raise MaskError(
            f"a mask of shape {tuple(mask.shape)} may be pairs (L, S) or padding (B, S), as the "
            f"batch size is {batch}: give pairs as mask[None, None] and padding as "
            "mask[:, None, None, :]"
        )
    if mask.ndim == 3 and _both(mask.shape[0], batch, heads):
        raise MaskError(
            f"a mask of shape {tuple(mask.shape)} may be pairs of each head (H, L, S) or of each "
            f"sample (B, L, S), as the batch size is {batch}: give the former as mask[None] and "
            "the latter as mask[:, None]"
        )


def _both(size: int, batch: int, other: int) -> bool:
    """Whether the first axis of a mask may be the batch and another one as well."""
    if torch.compiler.is_exporting():  # a comparison of open lengths would close them
        # Not above: it takes a quarter of the time of importing everything.
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return all(map(statically_known_true, (size == batch, size == other, size != 1)))
    return size == batch == other != 1


def seen_alone(stored: Tensor, mask: Tensor | None) -> Tensor:
    """Patterns (B, S, E) with 0 in place of those that no state sees in any head.

    Multiplying by a weight of 0 would let numbers that are not finite through, forward and into the
    derivatives of the maps.

    Args:
        stored: what keys and values are made from.
        mask: boolean, broadcastable to (B, H, L, S); None changes nothing.
    """
    if mask is None or (may_look(stored) and is_tame(stored)):
        return stored
    rows = mask.expand(*(1,) * (4 - mask.ndim), *mask.shape)
    return stored.masked_fill(~rows.any(1).any(1).unsqueeze(-1), 0.0)


def states_of(x: Tensor, shown: Tensor) -> Tensor:
    """States (B, L, E) with 0 for those that no state sees and whose numbers are not finite.

    Of self-attention, where padding is a state, too: what it reads is of no use, but numbers that
    are not finite would go through its map into the derivatives of all parameters.

    Args:
        x: what states are made from.
        shown: what `seen_alone` made of it.
    """
    if shown is x:
        return x
    return torch.where(torch.isfinite(x.detach()).all(-1, keepdim=True), x, shown)
