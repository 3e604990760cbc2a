"""Attention as a recurrent neural network.

`B` batch, `H` heads, `L` states, `d` key width of a head, `e` value width of a head.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from attenergy.attention.mixers.base import (
    HeadInputs,
    Maps,
    PatternMixer,
    PatternProjections,
    Sizes,
    State,
)
from attenergy.attention.mixers.weights import columns, divided, scores
from attenergy.attention.modules.projections import Projections
from attenergy.energies.masks import same_for_all_states


class Aaren(PatternMixer):
    """z_i = sum_(j <= i) exp(s_j) v_j / sum_(j <= i) exp(s_j),  s_j = q.k_j / sqrt(d).

    Every head has one learned query q, the same for all states; causality alone tells the states
    apart, so the layer is causal whatever is asked for. Both sums and the greatest score so far
    are carried along by an associative operator: `forward` scans it in log2(L) parallel steps,
    `step` applies it once, with a state of constant size. A mask that differs between states, and
    dropout, need the weights and cost L^2.

    Args:
        embed_dim: E.
        num_heads: H.
        **sizes: see `Mixer`.

    Source: Feng et al. 2024, arXiv:2405.13956.

    Example:
        >>> mixer = Aaren(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"z_i = \frac{\sum_{j \le i} e^{s_j}\, v_j}{\sum_{j \le i} e^{s_j}}, \qquad s_j = "
        r"\frac{q^\top k_j}{\sqrt{d}}"
    )

    takes_context = False
    always_causal = True

    def __init__(self, embed_dim: int, num_heads: int, **sizes: Unpack[Sizes]) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.query = nn.Parameter(torch.randn(num_heads, 1, self.projections.head_dim))

    def heads(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the query for each state (B, H, L, d), k (B, H, L, d) and v (B, H, L, e)."""
        _, k, v = super().heads(x, context)
        return self.query.to(k.dtype).expand_as(k), k, v

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Scan over the states; an exported program, whose length is open, takes the weights."""
        _, k, v, mask, _, _ = heads
        if not same_for_all_states(mask) or torch.compiler.is_exporting():
            return None
        hidden = None if mask is None else ~columns(mask, k.shape[2])
        return _ratio(_scan(_single(self._scores(k), v, hidden)))

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: the operator's neutral element.

        The greatest score (B, H, 1, 1), the sum of exp(score - greatest) of the same shape, and the
        sum of those times the values, (B, H, 1, e).
        """
        weight = self.projections.out.weight
        greatest = weight.new_full((batch, self.num_heads, 1, 1), torch.finfo(weight.dtype).min)
        total = weight.new_zeros(batch, self.num_heads, 1, self.projections.value_dim)
        return greatest, torch.zeros_like(greatest), total

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; see `Mixer.step`."""
        _, k, v = self.heads(x[:, None], None)
        after = _join(state, _single(self._scores(k), v, None))
        return self.projections.merge(_ratio(after))[:, 0], after

    def _scores(self, k: Tensor) -> Tensor:
        return scores(k, self.query.to(k.dtype))  # (B, H, L, 1)

    def _state_numbers(self, length: int) -> int:
        return self.num_heads * (2 + self.projections.value_dim)

    def _projections(self, maps: Maps) -> Projections:
        return PatternProjections(self.embed_dim, self.num_heads, with_keys=True, **maps)


def _single(values: Tensor, v: Tensor, hidden: Tensor | None) -> State:
    """The operator's element of each pattern: its score, the weight 1 and its value."""
    # The greatest score only scales numerator and denominator alike, so it carries no gradient;
    # the score's own gradient enters through a weight that is 1 in value.
    greatest = values.detach()
    one = (values - greatest).exp()
    if hidden is not None:
        greatest = greatest.masked_fill(hidden, torch.finfo(values.dtype).min)
        one = one.masked_fill(hidden, 0)
    return greatest, one, one * v


def _join(left: State, right: State) -> State:
    """Elements of two neighbouring stretches -> that of both; associative."""
    greatest = torch.maximum(left[0], right[0])
    a, b = (left[0] - greatest).exp(), (right[0] - greatest).exp()
    return greatest, a * left[1] + b * right[1], a * left[2] + b * right[2]


def _scan(elements: State) -> State:
    """Join each element with all before it: after n rounds it holds the last 2^n."""
    length, shift = elements[0].shape[2], 1
    lowest = torch.finfo(elements[0].dtype).min
    while shift < length:
        before = tuple(
            pad(t[:, :, :-shift], (0, 0, shift, 0), value=neutral)
            for t, neutral in zip(elements, (lowest, 0.0, 0.0), strict=True)
        )
        elements = _join(before, elements)
        shift *= 2
    return elements


def _ratio(elements: State) -> Tensor:
    """What is read: 0 where no pattern was visible."""
    _, weight, total = elements
    return divided(total, weight)
