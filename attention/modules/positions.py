"""Positions: a learned bias on the scores, learned vectors on the inputs, or fixed waves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from attenergy.energies.parameters import Settled
from attenergy.registry import ShapeError


def distance_buckets(distance: Tensor, num_buckets: int) -> Tensor:
    """Return the bucket of each distance n: near ones one by one, far ones by their logarithm.

    bucket(n) = n                                                      if n < m = floor(N/2)
                min(N - 1, m + trunc((N - m) log(n/m) / log(N/m)))     else

    A negative distance (a pattern after the state) counts as 0. The logarithms are taken in
    float32, with its epsilon added to n/m, so that n = m falls into bucket m.

    Args:
        distance: integers of any shape.
        num_buckets: N, also the distance from which on all share the last bucket.

    Returns:
        Buckets in 0 ... N - 1, int64, of the same shape.

    Source: Raffel et al. 2020, arXiv:1910.10683 (the one-sided form).
    """
    distance = distance.clamp(min=0)
    near = num_buckets // 2
    if near == 0:
        return torch.zeros_like(distance)
    ratio = distance.to(torch.float32) / near + torch.finfo(torch.float32).eps
    scale = (num_buckets - near) / math.log(num_buckets / near)
    # Near distances take the other branch; the clamp keeps their logarithm out of the integers.
    far = near + (ratio.log().clamp(min=0) * scale).to(torch.int64)
    return torch.where(distance < near, distance, far.clamp(max=num_buckets - 1))


def relative_buckets(length: int, num_buckets: int | None = None) -> Tensor:
    """Return bucket(max(i - j, 0)) for every state i and every pattern j, int64 (length, length).

    Args:
        length: number of positions L.
        num_buckets: N of `distance_buckets`; `length` if None.

    Returns:
        Numbers on the CPU, whatever `torch.device` is in force: "meta" would give none.
    """
    position = torch.arange(length, device="cpu")
    distance = position[:, None] - position[None, :]
    return distance_buckets(distance, length if num_buckets is None else num_buckets)


class RelativePositionBias(Settled):
    """r[h, i, j] = table[h, bucket(max(i - j, 0))], a field for the scores of a layer.

    All patterns at or after a state share bucket 0, also where attention is not causal. The table
    (H, N) has one entry per head and bucket and starts as N(0, 1/N).

    Args:
        num_heads: H.
        length: number N of buckets. Shorter sequences use the same distances; in longer ones the
            distances beyond N share the last bucket.

    Source: Raffel et al. 2020, arXiv:1910.10683; Schug et al. 2025, arXiv:2406.05816.
    """

    buckets: Tensor
    of_distance: Tensor

    def __init__(self, num_heads: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.table = nn.Parameter(torch.randn(num_heads, length) * length**-0.5)
        of_pairs, of_distance = _buckets(length, self.table.device)
        self.register_buffer("buckets", of_pairs, persistent=False)
        self.register_buffer("of_distance", of_distance, persistent=False)
        self.settle()

    def forward(self, length: int, start: int = 0) -> Tensor:
        """Return the bias (1, H, L - start, L) of sequences of `length` L positions.

        Args:
            length: L.
            start: the first position whose row is wanted; the rows of all if 0.
        """
        device, of_pairs, of_distance = self.table.device, self.buckets, self.of_distance
        if of_pairs.device != device:  # the table alone came here, as one that was assigned
            of_pairs, of_distance = self._buckets_on(device)
        # An exported program is one for all lengths, so it cannot choose.
        if not torch.compiler.is_exporting() and length <= self.length:
            buckets = of_pairs[start:length, :length]
        else:
            position = torch.arange(length, device=device)
            distance = position[start:, None] - position
            buckets = of_distance[distance.clamp(0, self.length)]
        bias = self.table.index_select(1, buckets.flatten())
        return bias.view(1, len(self.table), *buckets.shape)

    def _buckets_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The two buffers on a device, made anew if they are without numbers ("meta")."""
        if self.buckets.is_meta:
            return _buckets(self.length, device)
        return self.buckets.to(device), self.of_distance.to(device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.buckets, self.of_distance
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.buckets, self.of_distance = before  # `to_empty` would leave no numbers in them
        self.buckets, self.of_distance = self._buckets_on(self.table.device)
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        # They are not in the state, and the table may be elsewhere after `assign=True`.
        self.buckets, self.of_distance = self._buckets_on(self.table.device)

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"num_heads={self.table.shape[0]}, length={self.length}"


def _buckets(length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The buckets of all pairs of `length` positions, and those of the distances 0 ... `length`."""
    # All distances from `length` on share a bucket, so this is all there is to know.
    distances = torch.arange(length + 1, device="cpu")
    return relative_buckets(length).to(device), distance_buckets(distances, length).to(device)


class AbsolutePositions(nn.Module):
    """y[b, i] = x[b, i] + p[i], with one learned vector p[i] per position.

    The vectors start as N(0, 1/width) per entry, so each has an expected squared length of 1.

    Args:
        length: number of positions that have a vector.
        width: width of the vectors.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(length, width) * width**-0.5)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Return `x` (B, L, width) with its positions added, counted from `start`.

        Raises:
            ValueError: there are more positions than vectors.
        """
        length = start + x.shape[1]
        if length > self.table.shape[0]:
            raise ShapeError(
                f"a sequence of {length} positions is too long for {self.table.shape[0]} learned "
                "absolute positions; build the model for a greater length"
            )
        return x + self.table[start:length]

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"length={self.table.shape[0]}, width={self.table.shape[1]}"


def sinusoids(length: int, width: int) -> Tensor:
    """w[t, 2k] = sin(t / 10000^(2k/W)),  w[t, 2k+1] = cos(the same angle), float64 (length, W).

    Args:
        length: number of positions.
        width: W; of an odd one the last cosine is left out.

    Source: Vaswani et al. 2017, arXiv:1706.03762 (section 3.5).
    """
    speed = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * speed
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)[:, :width]


def rotates(layer: nn.Module) -> bool:
    """Whether a layer has rotary positions of its own: its `rotary`, or that of its projections."""
    preparation = getattr(getattr(layer, "projections", None), "preparation", None)
    return bool(getattr(layer, "rotary", getattr(preparation, "rotary", False)))
