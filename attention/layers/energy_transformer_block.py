"""One recurrent block in place of attention and feed-forward: all tokens descend a joint energy.

`B` batch, `L` tokens, `H` heads, `E` model width, `D` head width, `M` memories.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from attenergy.attention.gradients.gradient import gradient
from attenergy.attention.modules.arguments import check_positive, check_size, check_whole, option
from attenergy.attention.modules.masks import tokens_there
from attenergy.attention.modules.projections import check_sequence, head_width
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.attention.solvers.relax import Relaxation
from attenergy.energies import Energy, EnergyLike, make_energy, source_of
from attenergy.energies.memories.lagrangians import normalised
from attenergy.energies.parameters import constant
from attenergy.energies.settings.keywords import known_arguments
from attenergy.registry import ArgumentError, Registry, RegistryLike, given_registry

_EPS = 1e-5  # under the root of the layer norm


class EnergyTransformerBlock(Pretrained, nn.Module):
    r"""x <- x - alpha dE/dg,  g = gamma (x - mean(x))/sqrt(var(x) + eps) + delta,  `steps` times.

    E(g) = sum_h E_attention,h(g) + E_memory(g; Xi) is one number for all tokens. As g is the
    gradient of a convex function L(x) (`attenergy.energies.memories.lagrangians`),
    dx/dt = -dE/dg gives dE/dt = -(dE/dg)' L''(x) (dE/dg) <= 0: no small step raises E, while x
    itself stays free. For E concave in g no step of any size does. gamma > 0 is one number; with
    one for each component g would not be a gradient.

    With the defaults, K_hB = W_K,h g_B and Q_hC = W_Q,h g_C,

        E = - sum_{h,C} 1/beta_h log sum_{B != C} exp(beta_h K_hB . Q_hC)
            - 1/2 sum_{C,mu} relu(Xi_mu . g_C)^2

    Residuals and the norm are inside; blocks are stacked as they are.

    Args:
        embed_dim: E.
        num_heads: H of the attention energy.
        attention: whatever names a joint energy of tokens (the states interact, no stored
            patterns); see `attenergy.make_energy`. Its square matrices become (D, E), one per head.
        memory: an energy of a token and stored patterns; Xi (M, E) is learned.
        memories: M.
        head_dim: D; E / H if None.
        steps: number of steps, from 1.
        step_size: alpha, above 0.
        registry: where names are looked up; the built-in one and plug-ins if None.
        **settings: parameters, choices and options of the attention energy; those given as
            expressions in D by its entry (beta = 1/sqrt(D)) take the head width.

    Raises:
        ValueError: unknown names or settings, energies that are not of these kinds, or numbers
            that do not fit.

    Source: Hoover et al. 2023, arXiv:2302.07253.

    Example:
        >>> block = attenergy.EnergyTransformerBlock(16, 2, steps=3)
        >>> block(torch.randn(2, 6, 16)).shape
        torch.Size([2, 6, 16])
    """

    steps = option("steps", lambda _, value: check_whole("steps", value, 1), "Number of steps.")
    step_size = option(
        "step_size", lambda _, value: check_positive("step_size", value), "The step size alpha."
    )

    def __init__(
        self,
        /,
        embed_dim: int,
        num_heads: int,
        attention: EnergyLike = "energy_transformer",
        memory: EnergyLike = "et_memory",
        *,
        memories: int = 64,
        head_dim: int | None = None,
        steps: int = 12,
        step_size: float = 0.1,
        registry: RegistryLike | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        check_size("memories", memories)
        registry = given_registry(registry)
        self.steps, self.step_size = steps, step_size
        with known_arguments(type(self)):
            self.attention = _attention(
                attention, embed_dim, num_heads, head_dim, registry=registry, settings=settings
            )
        self.memory = source_of(memory, registry=registry, argument="memory").make(embed_dim)
        _check_memory(self.memory)
        self.patterns = nn.Parameter(torch.randn(memories, embed_dim) * embed_dim**-0.5)
        self.log_gain = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(embed_dim))

    def normal(self, x: Tensor) -> Tensor:
        """Return g (B, L, E) of x (B, L, E)."""
        return normalised(x, self.log_gain.exp(), self.shift, _EPS)

    def energy(
        self, g: Tensor, *, mask: Tensor | None = None, field: Tensor | None = None
    ) -> Tensor:
        """Return E of normalised tokens g (B, L, E), one number per sample, (B).

        Arguments as of `forward`.
        """
        pairs, present = _visible(mask, g)
        heads = self._heads(g)
        among = self.attention(heads, heads, mask=pairs, field=field)
        alone = self.memory(g, self.patterns, mask=present)
        total: Tensor = among.sum(-1) + alone.sum(-1)
        return total

    @overload
    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        trace: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        trace: Literal[True],
    ) -> Relaxation: ...
    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        trace: bool = False,
    ) -> Tensor | Relaxation:
        """Let the tokens descend.

        Args:
            x: tokens (B, L, E).
            mask: boolean, as of `Transformer`. (L) or (B, L): False at tokens that are not there;
                they keep their x, and nothing depends on it. (B, L, L), or with four axes
                broadcastable to (B, H, L, L): True where a token may see another. One that sees
                none is not there, nor is one that none sees, as in `EnergyAttention`; so a padding
                mask has the same meaning with four axes, (B, 1, 1, L).
            field: h, broadcastable to (B, H, L, L), for an attention energy that reads one.
            trace: whether to return energies (steps + 1, B), before the first step and after each,
                and residuals |dE/dg| (steps, B, L), beside the tokens (`state`).

        Raises:
            ValueError: a shape or type does not fit.
        """
        width = self.patterns.shape[-1]
        check_sequence("x", x, "(B, L, E)", width, self.patterns)
        if field is not None and not self.attention.reads_field:
            raise ArgumentError(f"'{self.attention.spec.title}' reads no field h", topic="no-field")
        start, present = x, _visible(mask, x)[1]
        if present is not None:  # whatever stands elsewhere must not reach a derivative
            x = torch.where(present, x, 0.0)
        g, energies, residuals = self.normal(x), [], []
        if trace:
            energies.append(self.energy(g, mask=mask, field=field))
        for _ in range(self.steps):
            slope = self._slope(g, mask, field)
            x = x - self.step_size * slope
            g = self.normal(x)
            if trace:
                energies.append(self.energy(g, mask=mask, field=field))
                residuals.append(torch.linalg.vector_norm(slope, dim=-1))
        x = x if present is None else torch.where(present, x, start)
        if not trace:
            return x
        return Relaxation(x, torch.stack(energies), torch.stack(residuals))

    def description(self) -> LayerArguments:
        """What the block is saved as; see `Pretrained.description`."""
        settings = {name: value for name, value in self.given.items() if name != "memory"}
        return self.layer_arguments(
            self.attention.spec, settings, named_by="attention", kind="block",
            memory=self.memory.spec,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"steps={self.steps}, step_size={self.step_size:g}, memories={len(self.patterns)}"

    def _heads(self, g: Tensor) -> Tensor:
        return g.unsqueeze(1).expand(-1, self.attention.num_heads or 1, -1, -1)

    def _slope(self, g: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """dE/dg, (B, L, E); every head has its own share of it."""
        pairs, present = _visible(mask, g)
        heads = self._heads(g)
        among = gradient(self.attention, heads, heads, mask=pairs, field=field)
        alone = gradient(self.memory, g, self.patterns, mask=present)
        return among.sum(1) + alone


def _attention(
    attention: EnergyLike,
    embed_dim: int,
    num_heads: int,
    head_dim: int | None,
    *,
    registry: Registry,
    settings: dict[str, Any],
) -> Energy:
    """The attention energy, on whole tokens; its square matrices are replaced by (H, D, E)."""
    head_dim = head_width(embed_dim, num_heads) if head_dim is None else head_dim
    check_size("head_dim", head_dim)
    source = source_of(attention, settings, registry=registry, argument="attention")
    spec = source.spec
    if source.made is not None:
        raise ArgumentError(
            f"attention: '{spec.title}' is made already, with other sizes; give its entry or name",
            topic="energy-argument",
        )
    scalars = {name: p.init for name, p in spec.parameters.items() if not p.shape}
    in_width = {
        name: constant(init, head_dim) for name, init in scalars.items() if isinstance(init, str)
    }
    initial: dict[str, Any] = {**in_width, **source.settings}
    energy = make_energy(spec, dim=embed_dim, num_heads=num_heads, **initial)
    of_tokens = energy.states_interact and not energy.reads_patterns
    if not (of_tokens and energy.domain.formula_anywhere):
        raise ArgumentError(
            f"'{spec.title}' is no joint energy of tokens alone; 'energy_transformer' and "
            "'hyper_set' are",
            topic="couples-states",
        )
    raw = energy.parameters_.raw
    for name, parameter in spec.parameters.items():
        if len(parameter.shape) == 2:
            start = torch.randn(num_heads, head_dim, embed_dim) * embed_dim**-0.5
            raw[name] = nn.Parameter(start, requires_grad=parameter.learnable != "no")
    return energy


def _check_memory(energy: Energy) -> None:
    of_patterns = energy.reads_patterns and not energy.states_interact
    if not (of_patterns and energy.domain.formula_anywhere):
        raise ArgumentError(
            f"'{energy.spec.title}' is no energy of one token and stored patterns; 'et_memory' and "
            "'lse' are",
            topic="couples-states",
        )


def _visible(mask: Tensor | None, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Which token sees which, (B, H, L, L), and which are there, (B, L, 1)."""
    if mask is None:
        return None, None
    pairs, padding = tokens_there(mask, g.shape[0], g.shape[1])
    if padding is not None:
        return pairs & padding[:, None, :, None], padding.unsqueeze(-1)
    pairs = pairs & pairs.any(-2, keepdim=True).mT  # what nobody sees looks at nobody
    return pairs, pairs.any(-1).any(1).unsqueeze(-1)
