"""Layers with maps of their own around heads: drop-ins, and layers on graphs."""

from __future__ import annotations

import torch
from torch import nn

import attenergy
from attenergy.attention.graphs import EnergyAggregation, EnergyConv, EnergyGNN
from tests.attention.conftest import REGISTRY

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
SETS = torch.tensor([0, 0, 1])
X, SMALL = torch.randn(3, 8), torch.randn(3, 6)
SEQUENCE = torch.randn(2, 5, 8)


def conv(*args, **options):
    return EnergyConv(*args, registry=REGISTRY, **options)


def gnn(*args, **options):
    return EnergyGNN(*args, registry=REGISTRY, heads=2, **options)


def multihead(**options):
    return attenergy.EnergyMultiheadAttention(8, 2, batch_first=True, registry=REGISTRY, **options)


def aggregation(**options):
    return EnergyAggregation(8, 2, registry=REGISTRY, **options)


def exchanged():
    return attenergy.EnergyMultiheadAttention.from_multihead(
        nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True), "rbm", registry=REGISTRY
    )


MADE = {
    "conv": (lambda: conv(8, 4, heads=2, steps=2), (X, EDGES)),
    "conv of a pair": (
        lambda: conv((8, 6), 4, 2, "rbm", bias=False, dropout=0.1), ((X, SMALL), EDGES)),
    "conv with edges": (
        lambda: conv(8, 4, 2, "entmax", head_dim=5, edge_dim=3, add_self_loops=True),
        (X, EDGES, None, torch.randn(4, 3))),
    "conv that saw its width": (lambda: conv((-1, -1), 4, 2), ((X, SMALL), EDGES)),
    "conv that was read by state": (
        lambda: conv(8, 4, 2, "classical_hopfield", steps=3), (X, EDGES)),
    "conv of padded sets": (lambda: conv(8, 4, 2, form="padded", solver="fixed_point"), (X, EDGES)),
    "network": (
        lambda: gnn(8, 6, num_layers=3, out_channels=5, energy="lse", steps=2), (X, EDGES)),
    "network of many arguments": (
        lambda: gnn(
            8, 6, 2, 5, 0.2, "gelu", norm="batch_norm", jk="cat", act_first=True, bias=False),
        (X, EDGES)),
    "network that saw its width": (lambda: gnn(-1, 6, num_layers=2), (X, EDGES)),
    "network of one layer": (lambda: gnn((8, 6), 4, num_layers=1), ((X, SMALL), EDGES)),
    "aggregation": (lambda: aggregation(energy="sparsemax", steps=3, bias=False), (X, SETS)),
    "multihead": (lambda: multihead(steps=2, beta=3.0, dropout=0.1), (SEQUENCE,) * 3),
    "multihead of widths": (
        lambda: multihead(kdim=5, vdim=7, bias=False, add_zero_attn=True),
        (SEQUENCE, torch.randn(2, 4, 5), torch.randn(2, 4, 7))),
    "multihead in exchange": (exchanged, (SEQUENCE,) * 3),
}  # fmt: skip


def tensors(output):
    return [x for x in output if x is not None] if isinstance(output, tuple) else [output]


def check_same(module, again, inputs):
    assert type(again) is type(module)
    assert again.training
    outputs = [tensors(m.eval()(*inputs)) for m in (module, again)]
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other)


class Doubled(EnergyConv):
    """A layer that computes something else."""

    def forward(self, *args, **options):
        return 2 * super().forward(*args, **options)
