"""Multi-head attention whose heads relax an energy.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `E` model width,
`D` query/key width of a head, `e` value width of a head.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from attenergy.attention.dropout import PairDropout, check_dropout
from attenergy.attention.projections import Projections, check_shapes, visible
from attenergy.attention.relax import Solver, check_solver, default_step_size, relax
from attenergy.attention.update import Backend, association, check_backend, read_values
from attenergy.energies import Energy, make_energy
from attenergy.energies.parameters import Setting
from attenergy.registry import EnergySpec, Reading, Registry

Read = Literal["auto", "weights", "state"]


class EnergyAttention(PairDropout):
    """out_i = sum_h Wout_h r[h,i] + bout, where r[h,i] is read after a relaxation of xi[h,i].

    Every head projects x to states xi and the context to stored patterns X, and takes `steps` steps
    xi <- xi - gamma/A grad_xi E(xi; X, h). What is read is either

        weights  r = sum_j w_j v_j with projected values v_j and the last step's weights
                 w = -dE/ds over the patterns, s = X xi; the steps before the last move xi
        state    r = xi after the last step

    With log-sum-exp, one step and beta = 1/sqrt(D), reading by weights is softmax attention.

    Args:
        embed_dim: E.
        num_heads: H.
        energy: name in the registry, or an entry.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights` needs an energy that has weights; `auto` follows the entry and, where it is
            silent, reads weights if there are any.
        head_dim: D; E / H if None.
        registry: where the name is looked up; the built-in one and plug-ins if None.
        dropout: probability of dropping a (state, pattern) pair in training, for all heads and
            samples at once; only when weights are read.
        **settings: initial values of the energy's parameters, choices and options;
            `value_dim` (e, D if absent), `context_dim` (width of the context, E if absent),
            `bias` (of the projections, True), `backend` (`auto`) and `solver` are understood too.
            `solver` is `descent` (all sites at once) or `sequential` (one after the other, which
            costs a gradient for each; what descends where an entry says `descends: sequential`).

    Raises:
        ValueError: unknown name or setting, or numbers that do not fit.

    Source: Ramsauer et al. 2020, arXiv:2008.02217, for any energy.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        energy: str | EnergySpec = "lse",
        *,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        head_dim: int | None = None,
        registry: Registry | None = None,
        dropout: float = 0.0,
        **settings: Setting,
    ) -> None:
        super().__init__()
        own = {
            name: settings.pop(name)
            for name in ("value_dim", "context_dim", "bias")
            if name in settings
        }
        backend, solver = settings.pop("backend", "auto"), settings.pop("solver", "descent")
        self.dropout = check_dropout(dropout)
        dim = _head_dim(embed_dim, num_heads) if head_dim is None else head_dim
        self.energy = make_energy(
            energy, dim=dim, num_heads=num_heads, registry=registry, **settings
        )
        self.read = _reading(self.energy, read)
        if self.read == "state" and own.get("value_dim", dim) != dim:
            raise ValueError(
                f"value_dim ({own['value_dim']}) is for reading by weights; the state that "
                f"'{self.energy.spec.title}' is read by has head_dim ({dim})"
            )
        self.projections = Projections(
            embed_dim,
            num_heads,
            dim,
            with_values=self.read == "weights",
            with_keys=self.energy.reads_patterns,
            **own,  # type: ignore[arg-type]
        )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.steps = _steps(self.energy, steps)
        self.step_size = default_step_size(self.energy) if step_size is None else float(step_size)
        if not self.step_size > 0:
            raise ValueError(f"step_size must be above 0, got {self.step_size:g}")
        self.backend: Backend = backend  # type: ignore[assignment]
        check_backend(self.energy, self.backend)
        self.solver = _solver(solver)

    @property
    def reads_field(self) -> bool:
        """Whether the energy reads a field, and so a relative-position bias."""
        return self.energy.reads_field

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Relax the states on the stored patterns and read.

        Args:
            x: states (B, L, E).
            context: stored patterns (B, S, context_dim); the states themselves if None.
            mask: boolean, broadcastable to (B, H, L, S), True where a state may see a pattern.
            field: h, broadcastable to (B, H, L, S).
            is_causal: whether state i sees only patterns j <= i.
            need_weights: whether to return the weights at the last state read from as well.

        Returns:
            (B, L, E), or a pair of it and the weights (B, H, L, S).

        Raises:
            ValueError: a shape or type does not fit, a field for an energy that reads none, or
                causality for an energy whose states interact.
        """
        check_shapes(x, context, mask, field, self.projections)
        xi, X = self.projections.states(x, context)
        xi = self.energy.enter(xi)
        X = X if self.energy.reads_patterns else xi
        seen = visible(mask, is_causal, xi.shape[-2], X.shape[-2], x.device)
        seen = self._check(seen, field, is_causal, context is None)
        field = None if field is None else field.to(xi.dtype)
        moving = self.steps - 1 if self.read == "weights" else self.steps
        state = relax(
            self.energy, xi, X, mask=seen, field=field,
            steps=moving, step_size=self.step_size, solver=self.solver,
            backend=self.backend,
        ).state  # fmt: skip
        heads = state
        if self.read == "weights":
            values = self.projections.values(x if context is None else context)
            heads = self._read_weights(state, X, values, seen, field)
        out = self.projections.merge(heads)
        if not need_weights:
            return out
        return out, association(self.energy, state, X, mask=seen, field=field)

    def extra_repr(self) -> str:
        """Options, for printing."""
        return (
            f"steps={self.steps}, step_size={self.step_size:g}, read={self.read}, "
            f"dropout={self.dropout:g}, solver={self.solver}"
        )

    def _read_weights(
        self, xi: Tensor, X: Tensor, values: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> Tensor:
        if not self.drops:
            return read_values(
                self.energy, xi, X, values, mask=mask, field=field, backend=self.backend
            )
        weights = association(self.energy, xi, X, mask=mask, field=field)
        return self.dropped(weights) @ values

    def _check(
        self, seen: Tensor | None, field: Tensor | None, is_causal: bool, within: bool
    ) -> Tensor | None:
        """The mask that the energy gets; refuses what it cannot honour."""
        if field is not None and not self.reads_field:
            raise ValueError(
                f"'{self.energy.spec.title}' reads no field h; give positions with the inputs"
            )
        if not within and not self.energy.reads_patterns:
            raise ValueError(
                f"'{self.energy.spec.title}' is an energy of the states alone; it takes no context"
            )
        if not self.energy.states_interact:
            return seen
        if is_causal:
            raise ValueError(
                f"'{self.energy.spec.title}' couples states to each other, so later ones would "
                "act on earlier ones; it cannot be causal"
            )
        if seen is not None and within:
            # A padded position, hidden from every state, must not pull on its neighbours either.
            seen = seen | seen.new_zeros(1, 1)  # two axes at least
            seen = seen & seen.any(-2, keepdim=True).mT
        return seen


def _head_dim(embed_dim: int, num_heads: int) -> int:
    if num_heads < 1 or embed_dim % num_heads:
        raise ValueError(
            f"embed_dim ({embed_dim}) is not a multiple of num_heads ({num_heads}); "
            "choose another number of heads or give head_dim"
        )
    return embed_dim // num_heads


def _steps(energy: Energy, steps: int | None) -> int:
    chosen = energy.spec.steps.default if steps is None else steps
    if isinstance(chosen, bool) or not isinstance(chosen, int) or chosen < 1:
        raise ValueError(f"steps must be a whole number from 1, got {chosen!r}")
    return chosen


def _solver(solver: Setting) -> Solver:
    check_solver(str(solver))
    if solver == "langevin":
        raise ValueError(
            "solver 'langevin' draws states and has no derivatives, so no layer is trained through "
            "it; take 'descent' or 'sequential'"
        )
    return solver  # type: ignore[return-value]


def _reading(energy: Energy, read: Read) -> Reading:
    if read not in get_args(Read):
        raise ValueError(f"read must be one of {', '.join(get_args(Read))}, got {read!r}")
    if read == "weights" and not energy.has_weights:
        raise ValueError(f"'{energy.spec.title}' defines no weights over patterns; read the state")
    if read != "auto":
        return read
    wanted = energy.spec.read or "weights"
    return wanted if energy.has_weights else "state"
