"""What drop-ins share: heads that relax an energy on states, patterns and values made elsewhere.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `D` width of states and
patterns, `e` width of values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop

from attenergy.attention.layers.base import EnergyLayer, Read
from attenergy.attention.modules.arguments import check_flag
from attenergy.attention.modules.pair_dropout import check_dropout
from attenergy.attention.solvers.problem import pose
from attenergy.energies import EnergyLike
from attenergy.energies.masks import NEVER
from attenergy.registry import ArgumentError, MaskError, RegistryLike


class EnergyHeads(EnergyLayer):
    """r[h,i], read after a relaxation of xi[h,i] on the patterns of head h; no projections.

    `weights` reads r = sum_j w_j v_j with the weights of the last step, `state` reads r = xi after
    it, as in `EnergyAttention`. Dropout is that of the models it serves: every weight by itself.

    Args:
        energy: whatever names one; see `attenergy.make_energy`.
        dim: D.
        num_heads: H.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights`, `state`, or `auto` to follow the entry.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        **settings: initial values of the energy's parameters, choices and options, and `backend`,
            `solver`, `learn_step_size` and `energy_per_step`, which `EnergyAttention` explains.

    Raises:
        ValueError: unknown name or setting, or numbers that do not fit.
    """

    def __init__(
        self,
        /,
        energy: EnergyLike,
        dim: int,
        num_heads: int,
        *,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        registry: RegistryLike | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(
            num_heads, dim, energy, steps=steps, step_size=step_size, read=read,
            registry=registry, dropout=0.0, settings=settings,
        )  # fmt: skip

    def forward(
        self,
        xi: Tensor,
        X: Tensor,
        values: Tensor,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        within: bool = True,
        dropout: float = 0.0,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Relax and read.

        Args:
            xi: states (B, H, L, D).
            X: stored patterns (B, H, S, D).
            values: (B, H, S, e); where the state is read they only get gradients of zero.
            mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern.
            field: h, broadcastable to (B, H, L, S).
            within: whether pattern i is made of what state i is made of (self-attention), for i
                below L; patterns beyond are of nothing that is a state.
            dropout: probability of dropping a weight now.
            need_weights: whether to return the weights, if the energy has any.

        Returns:
            (B, H, L, e), or (B, H, L, D) where the state is read, and the weights (B, H, L, S)
            after dropout, or None. A state that sees no pattern reads 0 by weights.

        Raises:
            ValueError: a shape or type does not fit, a field for an energy that reads none, or
                patterns for an energy of the states alone.
        """
        energy = self.energy
        unread = [] if self.read == "weights" else [values]
        xi = energy.from_real(xi)
        if not energy.reads_patterns:
            self._check_within(within, xi, X)
            unread.append(X)
            X = xi
        if xi.numel() == 0 or X.shape[-2] == 0:
            return self._of_nothing(xi, [X, values], need_weights)
        mask = self.without_hidden(mask, within, xi.shape[-2])
        field = self._field(field, xi)
        problem, xi = pose(energy, xi, X, mask, field, self.backend)
        state = self._relax(problem, xi, False).state
        by_weights = self.read == "weights"
        if by_weights and not need_weights and dropout == 0:
            return problem.read(state, values), None
        weights = None
        if by_weights:
            state, values = problem.values(state, values)
        if by_weights or (need_weights and energy.has_weights):
            weights = problem.weights(state)
        if not by_weights or weights is None:
            return _with_zero_gradients(state, unread), weights
        weights = drop(weights, dropout)
        return weights @ values, weights if need_weights else None

    def _of_nothing(
        self, xi: Tensor, others: list[Tensor], need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """What is read where there are no states, or no patterns: states that see nothing rest."""
        X, values = others
        read = xi
        if self.read == "weights":
            read, others = xi.new_zeros(*xi.shape[:-1], values.shape[-1]), [xi, X, values]
        weights = None
        if need_weights and self.energy.has_weights:
            weights = xi.new_zeros(*xi.shape[:-1], X.shape[-2])
        unread = [*others, *self.parameters()] if torch.is_grad_enabled() else []
        return _with_zero_gradients(read, unread), weights

    def _check_within(self, within: bool, xi: Tensor, X: Tensor) -> None:
        if not within or X.shape[-2] != xi.shape[-2]:
            raise ArgumentError(
                f"'{self.energy.spec.title}' is an energy of the states alone; it takes neither "
                f"other patterns nor a cache (key and value must hold what query holds), got "
                f"{xi.shape[-2]} states and {X.shape[-2]} patterns",
                topic="couples-states",
            )

    def _field(self, field: Tensor | None, xi: Tensor) -> Tensor | None:
        """The field that the energy gets: none, if it reads none and all of it is 0."""
        if field is None or self.energy.reads_field:
            return None if field is None else field.to(xi.dtype)
        message = f"'{self.energy.spec.title}' reads no field h: the mask may hide patterns only"
        if torch.compiler.is_compiling():
            torch._assert_async((field == 0).all(), message)  # a graph has no branch to raise from
        elif field.any():
            raise MaskError(f"{message}, but it holds numbers to be added to the scores")
        return None


def _with_zero_gradients(read: Tensor, unread: list[Tensor]) -> Tensor:
    """`read`, of which the others get gradients of zero.

    They come from maps of somebody else's model, which are in use as far as that model knows: for
    one, DistributedDataParallel waits for the gradient of every parameter.
    """
    for x in unread:
        if x.requires_grad and torch.is_grad_enabled():
            nothing = (x if x.ndim else x.view(1))[..., :0]
            read = read + nothing.sum().to(read.dtype)
    return read


def split_mask(mask: Tensor) -> tuple[Tensor, Tensor]:
    """A mask of numbers that are added to scores, as `(mask, field)`.

    Where a number says "never" (-9000 or less: -1e4, -1e9, the lowest of its type, -inf), the
    boolean mask is False and the field 0. Gradients pass to the other numbers.
    """
    hidden = mask <= NEVER
    return ~hidden, mask.masked_fill(hidden, 0.0)


def fitting_heads(
    attention: nn.MultiheadAttention, energy: EnergyLike, options: dict[str, Any]
) -> tuple[EnergyHeads, dict[str, Any], bool]:
    """Heads that fit an attention module, the options to make such again, and `cross_attention`.

    Raises:
        ValueError: patterns of another kind for an energy of the states alone, or as `EnergyHeads`.
    """
    check_dropout(attention.dropout)
    options = dict(options)
    cross = check_flag("cross_attention", options.pop("cross_attention", False))
    dim, count = attention.head_dim, attention.num_heads
    heads = EnergyHeads(energy, dim=dim, num_heads=count, **options)
    made = heads.energy
    added = attention.bias_k is not None or attention.add_zero_attn
    if not made.reads_patterns and (cross or added):
        names = "cross_attention" if cross else "add_bias_kv and add_zero_attn"
        raise ArgumentError(
            f"'{made.spec.title}' is an energy of the states alone, without other patterns: "
            f"{names} must be False",
            topic="couples-states",
        )
    apart = {"registry", *made.known_settings(made.spec)}
    rest = {name: value for name, value in options.items() if name not in apart}
    again = {**rest, **made.settings, "energy": made.spec, "dim": dim, "num_heads": count}
    like = attention.out_proj.weight
    return heads.to(like.device, like.dtype).train(attention.training), again, cross
