"""Softmax weights within sets of any sizes, element by element, without padding.

`n` elements, `N` sets, `H` heads, `D` head width.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch_geometric.utils import softmax

from attenergy.attention.graphs.sets import Sets
from attenergy.energies import Energy
from attenergy.energies.masks import hide_by_field
from attenergy.energies.quadratic import RADIAL


def seen_by_field(field: Tensor | None, sets: Sets) -> tuple[Tensor | None, Tensor]:
    """Which elements a field shows, (n, H), and which sets have one of these, (N, H|1, 1, 1).

    A field that says "never" (`attenergy.energies.masks.NEVER`) hides. The former is None if all
    elements are shown, as far as that can be seen without waiting.

    Args:
        field: h (n, H), or None.
        sets: which set each element belongs to.
    """
    mask = None if field is None else hide_by_field(None, field)[0]
    if mask is None:
        return None, sets.occupied
    return mask, (sets.sum(mask.long()) > 0)[..., None, None]


def segment_weights(
    energy: Energy,
    xi: Tensor,
    X: Tensor,
    field: Tensor | None,
    sets: Sets,
    seen: tuple[Tensor | None, Tensor],
) -> Tensor:
    """softmax(scale * x'xi + bias) within every set, (n, H); 0 for elements that are hidden.

    Args:
        energy: one that `has_segments`.
        xi: one state for each set, (N, H, 1, D).
        X: one pattern for each element, (n, H, D).
        field: h (n, H), or None.
        sets: which set each element belongs to.
        seen: what `seen_by_field` gives.
    """
    mask, occupied = seen
    if mask is not None and field is not None:
        field = torch.where(mask, field, 0.0)
    scores = (xi.squeeze(-2)[sets.index] * X).sum(-1)
    # Each element is a problem of its own, with one state and one pattern.
    parts = energy.attention(
        X.unsqueeze(-2), None, None if field is None else field[..., None, None]
    )
    assert parts is not None
    scale, bias = parts
    exponent = scale * scores[..., None, None]
    exponent = (exponent if bias is None else exponent + bias)[..., 0, 0]
    if mask is None:
        return softmax(exponent, sets.index, num_nodes=sets.count)
    empty = ~occupied[..., 0, 0][sets.index]  # of all their elements, which are shown meanwhile
    exponent = torch.where(mask | empty, exponent, -torch.inf)
    return torch.where(mask, softmax(exponent, sets.index, num_nodes=sets.count), 0.0)


def segment_step(energy: Energy, xi: Tensor, pulled: Tensor, step_size: float) -> Tensor:
    """A step of `relax` by descent, xi <- retract(xi, gamma/A (radial * xi - pulled)).

    Args:
        energy: one that `has_segments`.
        xi: one state for each set, (N, H, 1, D).
        pulled: sum of the weighted patterns of each set, (N, H, D).
        step_size: gamma.
    """
    radial = energy.radial(xi, xi, None, None)  # it does not read the patterns: any will do
    slope, curvature = radial * xi - pulled.unsqueeze(-2), energy.quadratic()
    slope = slope if curvature is None else slope / curvature
    return energy.domain.retract(xi, step_size * slope)


@torch.no_grad()
def has_segments(energy: Energy) -> bool:
    """Whether the weights are a softmax of scores that each belong to one element alone.

    A formula may put a sum over all patterns into the scale or the bias of its softmax, or into
    the factor of xi in the gradient. Whether it does is seen at random points: the three must be
    the same for a pattern alone and among others.
    """
    if not energy.is_attention or energy.spec.quadratic == RADIAL:
        return False
    probe, heads = copy.deepcopy(energy).cpu().double(), energy.num_heads or 1
    generator = torch.Generator().manual_seed(0)
    for parameter in probe.parameters():
        parameter.uniform_(0.5, 1.5, generator=generator)

    def draw(*shape: int) -> Tensor:
        return torch.randn(heads, *shape, generator=generator, dtype=torch.float64)

    xi, X, field = draw(1, energy.dim), draw(3, energy.dim), draw(1, 3)

    def parts(count: int, with_field: bool) -> list[Tensor]:
        h = field[..., :count] if with_field else None
        parts = probe.attention(X[:, :count], None, h)
        assert parts is not None
        scale, bias = parts
        own = torch.zeros_like(field[..., :count]) + (0.0 if bias is None else bias)
        radial = probe.radial(xi, X[:, :count], None, h)
        return [torch.as_tensor(value) for value in (scale, own[..., :1], radial)]

    pairs = [zip(parts(1, h), parts(3, h), strict=True) for h in (False, True)]
    return all(torch.allclose(alone, among) for pair in pairs for alone, among in pair)
