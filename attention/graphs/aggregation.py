"""`EnergyAggregation`: a learned query relaxes on the elements of every set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr.base import Aggregation

from attenergy.attention.graphs.inputs import (
    check_sets,
    check_sizes,
    head_width,
    reset_linear,
    sets_between,
)
from attenergy.attention.graphs.set_heads import SetHeads, split_heads
from attenergy.attention.graphs.sets import Sets
from attenergy.attention.layers.description import arguments_around
from attenergy.attention.modules.arguments import check_flag, check_numbers, weight_of
from attenergy.attention.modules.initialisation import dense
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.energies import Energy, EnergyLike
from attenergy.energies.settings.keywords import known_arguments
from attenergy.registry import GraphError


class EnergyAggregation(Pretrained, Aggregation):
    """out_g = sum_h Wout_h r[h,g] + bout, r[h,g] read after a relaxation of a learned state xi_h.

    The patterns of set g are Wk_h x_j + bk of its elements j. With log-sum-exp and one step it is
    pooling by multi-head attention. The result does not depend on the order of the elements; an
    empty set reads 0 by weights, or the learned state itself.

    Shapes:
        x (n, channels), index (n,) in any order or ptr (N + 1,). Output (N, channels).

    Args:
        channels: width of the elements and of the result.
        heads: H.
        energy: whatever names one, as for `EnergyConv`.
        **options: `steps`, `step_size`, `read`, `registry`, `form` and settings of the energy, and
            `head_dim` and `bias`, as for `EnergyConv`.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or an energy that cannot
            stand on a graph.

    Source: Lee et al. 2019, arXiv:1810.00825 (pooling by attention); Ramsauer et al. 2020,
        arXiv:2008.02217 (pooling by a Hopfield network).

    Example:
        >>> readout = EnergyAggregation(16, heads=2, energy="sparsemax")
        >>> readout(torch.randn(5, 16), torch.tensor([0, 0, 1, 1, 1])).shape
        torch.Size([2, 16])
    """

    def __init__(
        self, channels: int, heads: int = 1, energy: EnergyLike = "lse", **options: Any
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, heads=heads)
        bias, dim = check_flag("bias", options.pop("bias", True)), options.pop("head_dim", None)
        dim = head_width(channels, heads, dim)
        self.channels, self.heads = channels, heads
        with known_arguments(type(self), ("bias", "head_dim")):
            self.relaxation = SetHeads(energy, dim, heads, **options)
        self.query = nn.Parameter(torch.empty(heads, dim))
        self.key = dense(channels, heads * dim, bias)
        by_weights = self.relaxation.read == "weights"
        self.value = dense(channels, heads * dim, bias) if by_weights else None
        self.out = dense(heads * dim, channels, bias)
        nn.init.normal_(self.query)

    @property
    def energy(self) -> Energy:
        """The energy of the heads."""
        return self.relaxation.energy

    def reset_parameters(self) -> None:
        """Draw the query and all maps anew and set the energy's parameters to where they began."""
        nn.init.normal_(self.query)
        self.relaxation.reset_parameters()
        for linear in (self.key, self.value, self.out):
            if linear is not None:
                reset_linear(linear)

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        """Relax the query on every set and read.

        Args:
            x: elements (n, channels).
            index: set of each element, in any order.
            ptr: where each set of sorted elements begins, in place of `index`.
            dim_size: number of sets.
            dim: axis of the elements, the first.
            max_num_elements: not used; part of PyTorch Geometric's interface.

        Raises:
            TypeError: something is no tensor.
            ValueError: a shape does not fit, or the number of a set.
        """
        check_numbers("x", x, weight_of(self.key))
        self.assert_two_dimensional_input(x, dim)
        if x.shape[1] != self.channels:
            raise GraphError(f"x must be (n, {self.channels}), got {tuple(x.shape)}")
        if index is None:
            assert ptr is not None  # PyTorch Geometric sees to one of them
            index = sets_between(ptr, len(x))
        else:
            check_sets(index, len(x), dim_size)
        count = dim_size if dim_size is not None else int(index.max()) + 1
        sets = Sets(index, count)
        read, _ = self.relaxation(
            self.query.expand(count, -1, -1),
            split_heads(self.key(x), self.heads),
            None if self.value is None else split_heads(self.value(x), self.heads),
            sets,
            lambda weights, patterns: sets.sum(weights.unsqueeze(-1) * patterns),
        )
        out: Tensor = self.out(read.flatten(1))
        return out

    def description(self) -> LayerArguments:
        """What the layer is saved as; see `Pretrained.description`."""
        return arguments_around(
            self.relaxation, "aggregation", embed_dim=self.channels, num_heads=self.heads,
            head_dim=self.query.shape[1], bias=self.out.bias is not None,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, {self.heads}, {self.energy.spec.title!r})"
