"""Energies of tokens that attend to each other: functions of the states alone.

`L` tokens are the states themselves; the mask (..., L, L) is True where a token (row) may see
another (column). A token whose row is empty takes no part: it has no energy and is seen by none.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from attenergy.energies.base import Energy
from attenergy.energies.masks import open_rows
from attenergy.registry import ArgumentError


class EnergyTransformer(Energy):
    r"""E = -1/beta sum_C log sum_{B != C} exp(beta K_B . Q_C + h_CB),  K = W_K xi, Q = W_Q xi.

    One joint energy of all tokens. Its gradient has two terms for every token, as the one that
    asks and as one that is asked:

        -dE/dxi_A = W_Q' sum_B P_AB K_B + W_K' sum_C P_CA Q_C,   P = softmax over B of the exponents

    E is concave in each token with the others held fixed, as a token does not see itself, so
    moving one after the other (`coordinate_descent`) never raises E; moving all at once does not
    for small steps. A token that sees no other one adds 0.

    Options:
        self_excluded: 1 (B != C, the definition) or 0 (a token sees itself; then nothing is
            promised).

    Shapes: as `Energy`, with E (...), mask and field (..., L, L).

    Source: Hoover et al. 2023, arXiv:2302.07253.
    """

    latex = (
        r"-\tfrac1\beta\sum_C\log\sum_{B\neq C}\exp\left(\beta\, K_B\cdot Q_C + h_{CB}\right),"
        r"\quad K = W_K\,\xi,\; Q = W_Q\,\xi"
    )
    states_interact: ClassVar[bool] = True
    reads_patterns: ClassVar[bool] = False

    def setup(self) -> None:
        """Read whether tokens see themselves."""
        self.self_excluded = bool(self.whole_option("self_excluded", 0, 1))

    def largest_step_size(self) -> float | None:
        """As the domain says; None if tokens see themselves."""
        return super().largest_step_size() if self.self_excluded else None

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        values = self.values()
        beta = values["beta"]
        keys, queries = xi @ _matrix(values["W_K"]).mT, xi @ _matrix(values["W_Q"]).mT
        pairs = visible_pairs(xi, mask, self_excluded=self.self_excluded)
        return -_summed_lse(queries @ keys.mT, pairs, field, beta)


class EnergyTransformerBlock(EnergyTransformer):
    r"""E = E_attention(xi) - 1/2 sum_C sum_mu relu(Xi_mu . xi_C)^2: attention and memory together.

    `EnergyTransformer` plus a Hopfield network of learned memories Xi (memories, D), per head. Both
    parts are concave in each token alone. Options: `memories`, the number of rows of Xi, `seed` of
    their first values, and those of `EnergyTransformer`.

    Source: Hoover et al. 2023, arXiv:2302.07253.
    """

    latex = (
        r"-\tfrac1\beta\sum_C\log\sum_{B\neq C}\exp\left(\beta\, K_B\cdot Q_C + h_{CB}\right)"
        r" - \tfrac12\sum_C\lVert\operatorname{relu}(\Xi\,\xi_C)\rVert^2"
    )
    smooth = False

    def setup(self) -> None:
        """Draw the memories."""
        super().setup()
        self.memories = nn.Parameter(_learned_rows(self))

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        return super().energy(xi, X, mask, field) - _rectified(xi, self.memories, mask)


class HyperSet(Energy):
    r"""E = 1/beta sum_C log sum_B exp(beta w_C . w_B + h_CB) - 1/2 sum_C |relu(Xi xi_C)|^2.

    Tokens repel each other in direction, w = W xi/|W xi|, and are drawn to learned memories
    Xi (memories, D). A token sees itself. Not concave: only small steps descend.

    Options: `memories`, the number of rows of Xi, and `seed` of their first values.

    Shapes: as `EnergyTransformer`.

    Source: after Hu et al. 2025, hyperspherical energy transformer with recurrent depth.
    """

    latex = (
        r"\tfrac1\beta\sum_C\log\sum_B\exp\left(\beta\, w_C\cdot w_B + h_{CB}\right)"
        r" - \tfrac12\sum_C\lVert\operatorname{relu}(\Xi\,\xi_C)\rVert^2,"
        r"\quad w = \tfrac{W\xi}{\lVert W\xi\rVert}"
    )
    states_interact: ClassVar[bool] = True
    reads_patterns: ClassVar[bool] = False
    smooth = False

    def setup(self) -> None:
        """Draw the memories."""
        self.memories = nn.Parameter(_learned_rows(self))

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        values = self.values()
        directions = xi @ _matrix(values["W"]).mT
        floor = torch.finfo(xi.dtype).eps
        directions = directions * torch.rsqrt(
            (directions * directions).sum(-1, keepdim=True) + floor
        )
        pairs = visible_pairs(xi, mask, self_excluded=False)
        repulsion = _summed_lse(directions @ directions.mT, pairs, field, values["beta"])
        return repulsion - _rectified(xi, self.memories, mask)


class CausalTokens(Energy):
    r"""E_A = -1/beta log sum_{B <= A} exp(beta K_B . Q_A + h_AB),  K = W_K X, Q = W_Q xi.

    A game, not one energy: every token descends an energy of its own, in which those up to it
    (itself included) are held fixed as keys X = xi. No later token acts on an earlier one. As every
    step of a token changes what the others descend, nothing is promised over several steps.

    Shapes: as `Energy`, with E (..., L), mask and field (..., L, L).

    Source: after NRGPT, an energy-based alternative for GPT (2025).
    """

    latex = (
        r"-\tfrac1\beta\log\sum_{B\le A}\exp\left(\beta\, K_B\cdot Q_A + h_{AB}\right),"
        r"\quad K = W_K X,\; Q = W_Q\,\xi"
    )
    reads_patterns: ClassVar[bool] = False
    patterns_interact: ClassVar[bool] = True

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energies of the tokens, (..., L).

        Raises:
            ValueError: xi and X are of different lengths.
        """
        if X.shape[-2] != xi.shape[-2]:
            raise ArgumentError(
                f"'{self.spec.title}' reads no patterns: X is a copy of the {xi.shape[-2]} states, "
                f"got {X.shape[-2]} rows",
                topic="couples-states",
            )
        values = self.values()
        beta = values["beta"]
        scores = (xi @ _matrix(values["W_Q"]).mT) @ (X @ _matrix(values["W_K"]).mT).mT
        earlier = torch.ones(scores.shape[-2:], dtype=torch.bool, device=xi.device).tril()
        pairs = earlier if mask is None else earlier & mask
        return -_lse_rows(scores, pairs, field, beta)


def visible_pairs(xi: Tensor, mask: Tensor | None, *, self_excluded: bool) -> Tensor | None:
    """Which token (row) sees which (column), (..., L, L); None if all see all."""
    length = xi.shape[-2]
    others = ~torch.eye(length, dtype=torch.bool, device=xi.device) if self_excluded else None
    if mask is None:
        return others
    taking_part = mask.any(-1)
    pairs = mask & taking_part.unsqueeze(-2)
    return pairs if others is None else pairs & others


def _lse_rows(
    scores: Tensor, pairs: Tensor | None, field: Tensor | None, beta: Tensor | float
) -> Tensor:
    """Log-sum-exp of beta scores + h over visible columns, over beta, (..., L); 0 if none is."""
    exponent = beta * scores if field is None else beta * scores + field
    if pairs is None:
        return (torch.logsumexp(exponent, -1, keepdim=True) / beta).squeeze(-1)
    opened, occupied = open_rows(pairs)
    rows = torch.logsumexp(exponent.masked_fill(~opened, -torch.inf), -1, keepdim=True) / beta
    return torch.where(occupied, rows, 0.0).squeeze(-1)


def _summed_lse(
    scores: Tensor, pairs: Tensor | None, field: Tensor | None, beta: Tensor | float
) -> Tensor:
    return _lse_rows(scores, pairs, field, beta).sum(-1)


def _rectified(xi: Tensor, memories: Tensor, mask: Tensor | None) -> Tensor:
    """1/2 |relu(Xi xi)|^2, summed over the tokens that take part, (...)."""
    value = 0.5 * torch.relu(xi @ memories.mT).square().sum(-1)
    return (value if mask is None else torch.where(mask.any(-1), value, 0.0)).sum(-1)


def _matrix(value: Tensor | float) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _learned_rows(energy: Energy) -> Tensor:
    """First values of the memories: normal with variance 1/D, ([H,] memories, D)."""
    count, seed = energy.whole_option("memories", 1), energy.whole_option("seed", 0)
    heads = () if energy.num_heads is None else (energy.num_heads,)
    generator = torch.Generator().manual_seed(seed)
    drawn: Tensor = torch.randn(*heads, count, energy.dim, generator=generator)
    return drawn / math.sqrt(energy.dim)
