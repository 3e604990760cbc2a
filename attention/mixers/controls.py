"""Controls: what a model reaches whose layer chooses nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.mixers.base import HeadInputs, PatternMixer, State
from attenergy.attention.mixers.weights import divided, hide, with_ones
from attenergy.energies.masks import same_for_all_states


class MeanPooling(PatternMixer):
    """a[i,j] = 1/n_i for the n_i patterns that state i sees.

    Without weights it is one sum for all states, or running sums where it is causal.

    Source: average pooling as a token mixer, Yu et al. 2022, arXiv:2111.11418.

    Example:
        >>> mixer = MeanPooling(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = r"a_{ij} = \frac{1}{n_i} \quad\text{for the } n_i \text{ visible patterns}"

    states_apart = True

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Sum the values once for all states, if all see the same but for causality."""
        q, _, v, mask, _, is_causal = heads
        length, stored = q.shape[2], v.shape[2]
        if not same_for_all_states(mask) or (is_causal and length != stored):
            return None
        sums = hide(with_ones(v), mask)
        sums = sums.cumsum(2) if is_causal else sums.sum(2, keepdim=True)
        return divided(sums[..., :-1], sums[..., -1:]).expand(-1, -1, length, -1)

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: the sum of no values, and their number."""
        weight, p = self.projections.out.weight, self.projections
        zero = weight.new_zeros(batch, self.num_heads, 1, p.value_dim)
        return zero, torch.zeros(batch, dtype=torch.int64, device=weight.device)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; see `Mixer.step`."""
        total = state[0] + self.heads(x[:, None], None)[2]
        count = state[1] + 1
        return self.projections.merge(total / count[:, None, None, None])[:, 0], (total, count)

    def _state_numbers(self, length: int) -> int:
        return self.num_heads * self.projections.value_dim


class NoMixing(PatternMixer):
    """a[i,j] = 1 if i = j, else 0: each state reads its own value, if it may see itself.

    Source: the identity as a token mixer, Yu et al. 2022, arXiv:2210.13452.

    Example:
        >>> mixer = NoMixing(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = r"a_{ij} = \delta_{ij}"

    takes_context = False

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, L)."""
        own = torch.eye(q.shape[2], dtype=q.dtype, device=q.device)
        if seen is not None:
            own = own.masked_fill(~seen, 0)
        return own.expand(*q.shape[:3], q.shape[2])

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Return the values, if nothing is hidden."""
        return heads.v if heads.mask is None else None

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: nothing."""
        return ()

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one state (B, E); see `Mixer.step`."""
        return self.projections.merge(self.heads(x[:, None], None)[2])[:, 0], ()

    def _state_numbers(self, length: int) -> int:
        return 0
