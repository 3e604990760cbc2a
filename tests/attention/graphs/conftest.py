"""What the tests of graph layers share; `from tests.attention.graphs.conftest import ...`."""

from __future__ import annotations

import torch

from attenergy.attention.graphs import EnergyConv
from attenergy.attention.graphs.set_heads import check_energy
from attenergy.energies import make_energy
from tests.attention.conftest import REGISTRY

#: Nodes, channels, heads.
N, C, H = 6, 8, 2


def on_graphs():
    """The energies that stand on a graph, by name."""
    for name in REGISTRY.energies:
        energy = make_energy(name, dim=4, num_heads=2, registry=REGISTRY)
        try:
            check_energy(energy)
        except ValueError:
            continue
        yield name, energy


ON_GRAPHS = dict(on_graphs())


def make_conv(energy="lse", channels=C, **options):
    """A layer in float64 whose biases are not 0; the same numbers for the same arguments."""
    options = {"steps": 2, "heads": H, "registry": REGISTRY} | options
    if options.get("form") == "eager":
        options |= {"form": "padded", "backend": "eager"}
    torch.manual_seed(1)
    out = channels if isinstance(channels, int) else C
    conv = EnergyConv(channels, out, energy=energy, **options).double()
    for linear in (conv.query, conv.key, conv.value, conv.out):
        if linear is not None:
            torch.nn.init.normal_(linear.bias, std=0.3)
    return conv
