"""Lookup: states read patterns that are parameters of the layer.

`B` batch, `H` heads, `L` states, `N` learned patterns, `E` model width, `D` width of states and
patterns in a head, `e` width of values in a head.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from attenergy.attention.layers.base import EnergyLayer, Read
from attenergy.attention.layers.description import energy_layer_arguments
from attenergy.attention.layers.outputs import LayerOutput
from attenergy.attention.modules.arguments import check_size
from attenergy.attention.modules.projections import (
    Projections,
    check_extras,
    check_sequence,
    head_width,
)
from attenergy.attention.saving.format import LayerArguments
from attenergy.energies import EnergyLike
from attenergy.registry import ArgumentError, RegistryLike


class EnergyLookup(EnergyLayer):
    """out_i = sum_h Wout_h r[h,i] + bout, read from x_i and N learned patterns X[h] per head.

    What `EnergyAttention` does, but patterns and values are parameters, with no maps before them.
    Positions do not mix. With log-sum-exp and one step this is a feed-forward layer of N hidden
    units per head whose activation is a softmax over the units; with a restricted Boltzmann
    machine, one with sigmoid units. Patterns and values start as N(0, 1) per entry.

    Args:
        embed_dim: E.
        num_heads: H.
        energy: whatever names one that reads stored patterns; see `attenergy.make_energy`.
        num_patterns: N.
        steps: as of `EnergyAttention`, like the next five.
        step_size: gamma.
        read: `auto`, `weights` or `state`.
        head_dim: D; E / H if None.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        dropout: of (state, pattern) pairs.
        **settings: of `EnergyAttention`, but for those of its context (`context_dim`,
            `value_context_dim`, `num_kv_heads`) and of its order (`rotary`).

    Attributes:
        patterns: X, (H, N, D).
        values: (H, N, e); None if the state is read.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or an energy of the states
            alone.

    Source: Ramsauer et al. 2020, arXiv:2008.02217 (Hopfield layer).

    Example:
        >>> lookup = attenergy.EnergyLookup(16, 2, "lse", num_patterns=8)
        >>> lookup(torch.randn(3, 5, 16)).shape
        torch.Size([3, 5, 16])
    """

    PROJECTION_SETTINGS: ClassVar[tuple[str, ...]] = (
        "value_dim", "bias", "normalize_states", "normalize_patterns",
    )  # fmt: skip

    def __init__(
        self,
        /,
        embed_dim: int,
        num_heads: int,
        energy: EnergyLike = "lse",
        *,
        num_patterns: int,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        head_dim: int | None = None,
        registry: RegistryLike | None = None,
        dropout: float = 0.0,
        **settings: Any,
    ) -> None:
        dim = head_width(embed_dim, num_heads) if head_dim is None else head_dim
        check_size("head_dim", dim)
        super().__init__(
            num_heads, dim, energy, steps=steps, step_size=step_size, read=read,
            registry=registry, dropout=dropout, settings=settings,
        )  # fmt: skip
        check_size("num_patterns", num_patterns)
        if not self.energy.reads_patterns:
            title = self.energy.spec.title
            raise ArgumentError(
                f"'{title}' is an energy of the states alone; it looks nothing up",
                topic="couples-states",
            )
        self.projections = Projections(
            embed_dim, num_heads, dim, with_values=False, with_keys=False, **self.chosen(settings)
        )
        self.patterns = nn.Parameter(torch.randn(num_heads, num_patterns, dim))
        self.values: nn.Parameter | None = None
        if self.read == "weights":
            width = self.projections.value_dim
            self.values = nn.Parameter(torch.randn(num_heads, num_patterns, width))
        self._rest()

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        need_weights: bool = False,
        trace: bool = False,
    ) -> LayerOutput:
        """Relax the states on the learned patterns and read.

        Args:
            x: states (B, L, E).
            mask: boolean, broadcastable to (B, H, L, N), True where a state may see a pattern.
            field: h, broadcastable to (B, H, L, N).
            need_weights: whether to return the weights as well.
            trace: whether to return the weights and the steps that were taken as well.

        Returns:
            (B, L, E); with `need_weights` a pair of it and the weights (B, H, L, N); with `trace` a
            `LayerTrace`.

        Raises:
            ValueError: a shape or type does not fit.
        """
        p = self.projections
        check_sequence("x", x, "(B, L, E)", p.embed_dim, self.patterns)
        num_heads, stored = self.patterns.shape[:2]
        check_extras(mask, field, (x.shape[0], num_heads, x.shape[1], stored))
        self.check_field(field)
        X: Tensor = (
            self.patterns if p.preparation is None else p.preparation.patterns(self.patterns)
        )
        heads = self.attend(
            p.queries(x), X, self.values, mask=mask, field=field, need_weights=need_weights,
            trace=trace,
        )  # fmt: skip
        return heads.layer_output(p.merge(heads.read), need_weights, trace)

    def description(self) -> LayerArguments:
        """What the layer is saved as; see `Pretrained.description`."""
        return energy_layer_arguments(self, "lookup")

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"num_patterns={self.patterns.shape[1]}, {super().extra_repr()}"
