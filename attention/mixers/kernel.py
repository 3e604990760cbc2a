"""Attention by a kernel of finite rank: linear in the number of patterns, constant when streamed.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `m` features,
`d` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.attention.mixers.base import HeadInputs, Mixer, State
from attenergy.attention.mixers.weights import divided, hide, with_ones
from attenergy.energies.masks import same_for_all_states

_CHUNK = 64  # states whose weights are made at once where attention is causal


class KernelAttention(Mixer):
    """a[i,j] = f(q_i).f(k_j) / sum_j' f(q_i).f(k_j')  with a kernel f(q).f(k) that is not negative.

    The base of the kernels below. Without weights the sums over patterns, sum_j f(k_j) v_j' and
    sum_j f(k_j), are taken first, which costs (L + S) m e instead of L S (m + e) operations; where
    attention is causal they are carried from one chunk of states to the next. A mask that differs
    between states, and dropout, need the weights. So does causality where L != S. A state whose
    kernel is 0 with all that it sees reads 0.

    Source: Katharopoulos et al. 2020, arXiv:2006.16236.
    """

    states_apart = True
    reads_field = False

    def features(self, x: Tensor, *, of_states: bool) -> Tensor:
        """Return f(x) (B, H, N, m) of queries or keys x (B, H, N, d).

        Features of a state may be multiplied by any positive number, as its weights are divided
        by their sum.
        """
        raise NotImplementedError

    def kernel(self, q: Tensor, k: Tensor) -> Tensor:
        """Return f(q).f(k) for all pairs, (B, H, L, S), each row up to a positive factor."""
        return self.features(q, of_states=True) @ self.features(k, of_states=False).mT

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """Return a (B, H, L, S), exactly 0 where a pattern is hidden."""
        kernel = self.kernel(q, k)
        if seen is not None:
            kernel = kernel.masked_fill(~seen, 0)
        return divided(kernel, kernel.sum(-1, keepdim=True))

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Sum over patterns before states."""
        q, k, v, mask, _, is_causal = heads
        if not same_for_all_states(mask) or (is_causal and q.shape[2] != k.shape[2]):
            return None
        states = self.features(q, of_states=True)
        keys = hide(self.features(k, of_states=False), mask)
        values = with_ones(v)
        sums = _causal(states, keys, values) if is_causal else states @ (keys.mT @ values)
        return divided(sums[..., :-1], sums[..., -1:])

    def init_state(self, batch: int) -> State:
        """Return what `step` starts from: the sums over no patterns, (B, H, m, e + 1)."""
        self._check_streams()
        p = self.projections
        empty = p.out.weight.new_zeros(batch, self.num_heads, 0, p.head_dim)
        values = empty.new_zeros(batch, self.num_heads, 0, p.value_dim)
        return (self.features(empty, of_states=False).mT @ with_ones(values),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one state (B, E) and read it; see `Mixer.step`."""
        q, k, v = self.heads(x[:, None], None)
        total = state[0] + self.features(k, of_states=False).mT @ with_ones(v)
        sums = self.features(q, of_states=True) @ total
        read = divided(sums[..., :-1], sums[..., -1:])
        return self.projections.merge(read)[:, 0], (total,)

    def _state_numbers(self, length: int) -> int:
        return self.init_state(1)[0].numel()


class EluAttention(KernelAttention):
    """Linear attention with the feature map f(x) = elu(x) + 1, m = d.

    Source: Katharopoulos et al. 2020, arXiv:2006.16236.

    Example:
        >>> mixer = EluAttention(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = (
        r"a_{ij} = \frac{f(q_i)\cdot f(k_j)}{\sum_{j'} f(q_i)\cdot f(k_{j'})}, \qquad f(x) = "
        r"\operatorname{elu}(x) + 1"
    )

    takes_rotary = False  # features do not turn with their keys

    def features(self, x: Tensor, *, of_states: bool) -> Tensor:
        """Return exp(x) where x <= 0, else x + 1."""
        # elu(x) + 1 as it stands loses exp(x) to the rounding of 1 where x is far below 0.
        return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


class SquaredAttention(KernelAttention):
    """a[i,j] = (q_i.k_j)^2 / sum_j' (q_i.k_j')^2.

    The features are the m = d^2 products of two entries; where there are fewer patterns than
    features, the weights are the cheaper way.

    Source: the polynomial kernel of degree 2 in Kacham et al. 2023, arXiv:2310.01655.

    Example:
        >>> mixer = SquaredAttention(16, 2)
        >>> mixer(torch.randn(2, 10, 16)).shape
        torch.Size([2, 10, 16])
    """

    latex = r"a_{ij} = \frac{(q_i\cdot k_j)^2}{\sum_{j'} (q_i\cdot k_{j'})^2}"

    def features(self, x: Tensor, *, of_states: bool) -> Tensor:
        """Return all products x_a x_b / d, (B, H, N, d^2)."""
        return (x[..., :, None] * (x[..., None, :] / x.shape[-1])).flatten(-2)

    def kernel(self, q: Tensor, k: Tensor) -> Tensor:
        """Return (q.k / d)^2 for all pairs."""
        return ((q / q.shape[-1]) @ k.mT).square()

    def fast_path(self, heads: HeadInputs) -> Tensor | None:
        """Sum over patterns before states if there are more patterns than features."""
        # An exported program is one for all lengths, so it cannot choose.
        if not torch.compiler.is_exporting() and heads.k.shape[-1] ** 2 > heads.k.shape[2]:
            return None
        return super().fast_path(heads)


def _causal(states: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return sum_(j <= i) (states_i.keys_j) values_j, chunk by chunk."""
    length = states.shape[2]
    chunk = max(1, min(_CHUNK, length))
    rest = -length % chunk
    q, k, v = (
        torch.unflatten(pad(t, (0, 0, 0, rest)), 2, (-1, chunk)) for t in (states, keys, values)
    )  # (B, H, chunks, chunk, width)
    within = (q @ k.mT).tril() @ v
    sums = (k.mT @ v).cumsum(2)
    before = pad(sums[:, :, :-1], (0, 0, 0, 0, 1, 0))  # of the chunks before one's own
    sums = within + q @ before
    return sums.flatten(2, 3)[:, :, :length]
