"""Pooling: a few learned states read a sequence of any length.

`B` batch, `H` heads, `Q` learned states, `S` stored patterns, `E` model width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attenergy.attention.layers.energy_attention import EnergyAttention
from attenergy.attention.layers.outputs import LayerOutput
from attenergy.attention.modules.arguments import check_flag, check_size, check_tensor
from attenergy.attention.modules.projections import check_dense
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.energies import EnergyLike
from attenergy.energies.settings.keywords import known_arguments
from attenergy.registry import ArgumentError


class EnergyPooling(Pretrained, nn.Module):
    """out_q = Attention(y_q, context), where the states y_1 ... y_Q are parameters.

    A set of S patterns becomes Q vectors, whose number and meaning do not depend on S nor, for most
    energies, on the order of the patterns. The states start as N(0, 1) per entry.

    Args:
        embed_dim: E.
        num_heads: H.
        energy: whatever names one that reads stored patterns; see `attenergy.make_energy`.
        num_queries: Q.
        **settings: of `EnergyAttention`, `steps` to `solver`; all but `rotary`, as learned states
            stand nowhere in the sequence.

    Attributes:
        queries: y, (Q, E).
        attention: the `EnergyAttention` by which they read.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or an energy of the states
            alone.

    Source: Ramsauer et al. 2020, arXiv:2008.02217 (Hopfield pooling).

    Example:
        >>> pooling = attenergy.EnergyPooling(16, 2, "lse", num_queries=3)
        >>> pooling(torch.randn(4, 20, 16)).shape
        torch.Size([4, 3, 16])
    """

    def __init__(
        self,
        /,
        embed_dim: int,
        num_heads: int,
        energy: EnergyLike = "lse",
        *,
        num_queries: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__()
        check_size("num_queries", num_queries)
        if check_flag("rotary", settings.get("rotary", False)):
            raise ArgumentError("learned states have no positions: pooling takes no rotary")
        with known_arguments(type(self), never=("rotary", "rotary_base")):
            self.attention = EnergyAttention(embed_dim, num_heads, energy, **settings)
        if not self.attention.energy.reads_patterns:
            title = self.attention.energy.spec.title
            raise ArgumentError(
                f"'{title}' is an energy of the states alone; there is nothing to pool",
                topic="couples-states",
            )
        act = self.attention.projections.query.weight.requires_grad  # else no state is read
        self.queries = nn.Parameter(torch.randn(num_queries, embed_dim), requires_grad=act)

    def forward(
        self,
        context: Tensor,
        *,
        mask: Tensor | None = None,
        field: Tensor | None = None,
        need_weights: bool = False,
        trace: bool = False,
        value_context: Tensor | None = None,
    ) -> LayerOutput:
        """Pool the context.

        Args:
            context: stored patterns (B, S, context_dim).
            mask: boolean, broadcastable to (B, H, Q, S), True where a state may see a pattern.
                Padding (B, S) becomes one by `mask[:, None, None, :]`.
            field: h, broadcastable to (B, H, Q, S).
            need_weights: whether to return the weights as well.
            trace: whether to return the weights and the steps that were taken as well.
            value_context: what values are made from, (B, S, value_context_dim); the patterns if
                None.

        Returns:
            (B, Q, E); with `need_weights` a pair of it and the weights (B, H, Q, S); with `trace` a
            `LayerTrace`.

        Raises:
            ValueError: a shape or type does not fit.
        """
        check_tensor("context", context)
        check_dense("context", context)
        output: LayerOutput = self.attention(
            self.queries.expand(context.shape[0], -1, -1), context, mask=mask, field=field,
            need_weights=need_weights, trace=trace, value_context=value_context,
        )  # fmt: skip
        return output

    def description(self) -> LayerArguments:
        """What the layer is saved as; see `Pretrained.description`."""
        spec, settings = self.attention.energy.spec, self.attention.given
        settings = {**settings, "num_queries": len(self.queries)}
        self.attention.check_describable()
        return self.layer_arguments(spec, settings, kind="pooling")
