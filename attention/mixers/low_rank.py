"""Attention to a few learned mixtures of the patterns.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `r` mixtures.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from attenergy.attention.mixers.base import HeadInputs, Mixer, Sizes, State
from attenergy.attention.mixers.weights import hide, scores
from attenergy.attention.modules.arguments import check_size, fixed, option
from attenergy.attention.modules.initialisation import lecun_normal_
from attenergy.energies.masks import same_for_all_states
from attenergy.energies.tokens.places import check_places, first_places


class LowRankAttention(Mixer):
    """a[i,j] = sum_c w[i,c] F[c,j],  w[i,c] = softmax_c( sum_j P[c,j] s[i,j] ),  s = q.k / sqrt(d).

    That is softmax attention to the r keys P k with the values F v, where P and F (r, length) are
    learned, shared by the heads, and cut to the first S columns. It costs (L + S) r. The weights a
    may be negative and do not sum to 1.

    A hidden pattern leaves both sums of the states from which it is hidden, so it has no influence,
    but keeps its place. Masks that differ between states, and dropout, are exact but cost L S.
    Causal attention mixes the keys up to each state by running sums, which hold B H L r (d + e)
    numbers; streaming keeps the last of them alone.

    Args:
        embed_dim: E.
        num_heads: H.
        length: greatest number S of patterns.
        rank: r, from 1.
        **sizes: see `Mixer`.

    Raises:
        ValueError: a size below 1; when called, more than `length` patterns.

    Source: Wang et al. 2020, arXiv:2006.04768.

    Example:
        >>> mixer = LowRankAttention(16, 2, length=10, rank=4)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \sum_c w_{ic}\, F_{cj}, \quad w_{ic} = \operatorname{softmax}_c\left(\sum_j "
        r"P_{cj}\, s_{ij}\right), \quad s_{ij} = \frac{q_i\cdot k_j}{\sqrt{d}}"
    )

    states_apart = True
    reads_field = False
    needs_length = True
    takes_rotary = False

    length: int = option("length", fixed("length"), "Greatest S.")
    rank: int = option("rank", fixed("rank"), "r.")

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        length: int,
        rank: int = 16,
        **sizes: Unpack[Sizes],
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.length, self.rank = check_size("length", length), check_size("rank", rank)
        self.mix_keys = nn.Parameter(lecun_normal_(torch.empty(rank, length)))
        self.mix_values = nn.Parameter(lecun_normal_(torch.empty(rank, length)))

    def heads(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, H, L, d), k (B, H, S, d) and v (B, H, S, e)."""
        check_places((x if context is None else context).shape[1], self.length, "a mixer")
        return super().heads(x, context)

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 where a pattern is hidden."""
        values = scores(q, k)
        if seen is not None:
            values = values.masked_fill(~seen, 0)
        mix_keys, mix_values = self._maps(k.shape[2])
        weights = (values @ mix_keys.mT).softmax(-1) @ mix_values
        return weights if seen is None else weights.masked_fill(~seen, 0)

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Mix keys and values before the scores are taken."""
        q, k, v, mask, _, is_causal = heads
        length, stored = q.shape[2], k.shape[2]
        if not same_for_all_states(mask) or (is_causal and length != stored):
            return None
        maps, patterns = self._maps(stored), (k, v)
        if not is_causal:
            keys, values = (m @ hide(t, mask) for m, t in zip(maps, patterns, strict=True))
            return scores(q, keys).softmax(-1) @ values
        if self.rank * (k.shape[-1] + v.shape[-1]) > stored:
            return None  # the weights are smaller than the sums
        keys, values = (  # (B, H, L, r, width) each
            (m.mT[..., None] * hide(t, mask)[:, :, :, None]).cumsum(2)
            for m, t in zip(maps, patterns, strict=True)
        )
        return (scores(q[:, :, :, None], keys).softmax(-1) @ values).squeeze(-2)

    def _maps(self, stored: int) -> tuple[Tensor, Tensor]:
        """P and F, cut to the patterns."""
        return first_places(self.mix_keys, 1, stored), first_places(self.mix_values, 1, stored)

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: mixtures of no patterns, and the place 0."""
        p, sizes = self.projections, (batch, self.num_heads, self.rank)
        weight = p.out.weight
        return (
            weight.new_zeros(*sizes, p.head_dim),
            weight.new_zeros(*sizes, p.value_dim),
            torch.zeros(batch, dtype=torch.int64, device=weight.device),
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; see `Mixer.step`.

        Raises:
            IndexError: after more than `length` steps.
        """
        q, k, v = self.heads(x[:, None], None)
        place = state[2]
        keys = state[0] + self.mix_keys.mT[place][:, None, :, None] * k
        values = state[1] + self.mix_values.mT[place][:, None, :, None] * v
        read = scores(q, keys).softmax(-1) @ values
        return self.projections.merge(read)[:, 0], (keys, values, place + 1)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"length={self.length}, rank={self.rank}, {super().extra_repr()}"

    def _state_numbers(self, length: int) -> int:
        return super()._state_numbers(self.rank)
