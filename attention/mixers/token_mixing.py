"""A control without attention: learned mixing of places, whatever stands there.

`B` batch, `H` heads, `L` states, `S` stored patterns, `r` hidden units.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from attenergy.attention.mixers.base import HeadInputs, PatternMixer, Sizes, State
from attenergy.attention.mixers.weights import hide
from attenergy.attention.modules.arguments import check_size, fixed, option
from attenergy.attention.modules.initialisation import lecun_normal_
from attenergy.attention.modules.projections import visible
from attenergy.energies.masks import same_for_all_states
from attenergy.energies.tokens.places import check_places, first_places


class TokenMixing(PatternMixer):
    """z_i = sum_c W2[i,c] gelu( sum_j W1[c,j] m[i,j] v_j ),  m[i,j] = 1 where i sees j, else 0.

    The token-mixing half of an MLP-Mixer between attention's own value and output projections. W1
    (r, length) and W2 (length, r) are shared by the heads and cut to the sequence; they have no
    biases, so that what sees nothing reads 0. A hidden pattern has no influence, but keeps its
    place. There are no weights over patterns.

    Masks that differ between states, causality and dropout of pairs (factors m / (1 - dropout))
    cost a tensor of B H L r e numbers.

    Args:
        embed_dim: E.
        num_heads: H.
        length: greatest number of states and of patterns.
        hidden: r, from 1.
        **sizes: see `Mixer`; `head_dim` sets the value width where `value_dim` does not.

    Raises:
        ValueError: a size below 1; when called, a sequence longer than `length`.

    Source: Tolstikhin et al. 2021, arXiv:2105.01601.

    Example:
        >>> mixer = TokenMixing(16, 2, length=10, hidden=8)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"z_i = \sum_c W^{(2)}_{ic}\,\operatorname{gelu}\left(\sum_j W^{(1)}_{cj}\, m_{ij}\, "
        r"v_j\right)"
    )

    has_weights = False
    needs_length = True

    length: int = option("length", fixed("length"), "Greatest number of places.")

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        length: int,
        hidden: int = 64,
        **sizes: Unpack[Sizes],
    ) -> None:
        super().__init__(embed_dim, num_heads, **sizes)
        self.length = check_size("length", length)
        check_size("hidden", hidden)
        self.inward = nn.Parameter(lecun_normal_(torch.empty(hidden, length)))
        self.outward = nn.Parameter(lecun_normal_(torch.empty(length, hidden)))

    def heads(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return tensors of width 0 for q and k, and v (B, H, S, e)."""
        check_places(x.shape[1], self.length, "a mixer")
        if context is not None:
            check_places(context.shape[1], self.length, "a mixer")
        return super().heads(x, context)

    def fast_path(self, heads: HeadInputs) -> Tensor:
        """Return what each head reads, (B, H, L, e); there is no other way."""
        q, _, v, mask, _, is_causal = heads
        length, stored = q.shape[2], v.shape[2]
        inward = first_places(self.inward, 1, stored)
        outward = first_places(self.outward, 0, length)
        if same_for_all_states(mask) and not is_causal and not self.drops:
            return outward @ gelu(inward @ hide(v, mask))
        if same_for_all_states(mask) and length == stored and not self.drops:
            hidden = (inward.mT[..., None] * hide(v, mask)[:, :, :, None]).cumsum(2)
        else:
            ones = v.new_ones(1, 1, length, stored)
            seen = visible(mask, is_causal, length, stored, v.device)
            factors = self.dropped(ones if seen is None else ones.masked_fill(~seen, 0))
            hidden = (inward * factors[..., None, :]) @ v[:, :, None]  # (B, H, L, r, e)
        return (outward[:, None] @ gelu(hidden)).squeeze(-2)

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: hidden units of no patterns, and the place 0."""
        weight = self.projections.out.weight
        sizes = (batch, self.num_heads, self.inward.shape[0], self.projections.value_dim)
        place = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        return weight.new_zeros(*sizes), place

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; see `Mixer.step`.

        Raises:
            IndexError: after more than `length` steps.
        """
        v = self.heads(x[:, None], None)[2]
        place = state[1]
        hidden = state[0] + self.inward.mT[place][:, None, :, None] * v
        read = self.outward[place][:, None, None] @ gelu(hidden)
        return self.projections.merge(read)[:, 0], (hidden, place + 1)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"length={self.length}, hidden={self.inward.shape[0]}, {super().extra_repr()}"

    def _state_numbers(self, length: int) -> int:
        return self.inward.shape[0] * self.num_heads * self.projections.value_dim
