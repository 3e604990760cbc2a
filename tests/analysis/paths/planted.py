"""Models whose paths are known: positions are attended by hand, symbols are copied."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.attention import EnergyAttention

SYMBOLS, LENGTH = 4, 6
WIDTH = SYMBOLS + LENGTH
#: Which position each position attends to: layer, head, position. The path of head 0, then head 1,
#: brings the symbol of position 2 to the last position; all others bring those of 0, 1 and 3.
ATTENDS = (
    ([0, 1, 2, 3, 2, 5], [0, 3, 2, 3, 0, 5]),
    ([0, 1, 2, 3, 4, 1], [0, 1, 2, 3, 4, 4]),
)
#: What the heads write: the path that carries everything has weight 1, the others .3.
WRITES = ((1.0, 0.3), (0.3, 1.0))


class Stack(nn.Module):
    """x + layer(x) for each layer, and the symbols of the result at every position."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.out = nn.Linear(WIDTH, SYMBOLS, bias=False)
        with torch.no_grad():
            self.out.weight.copy_(torch.eye(SYMBOLS, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        out: Tensor = self.out(x)
        return out


def planted() -> Stack:
    """Two layers of two heads in which one path carries everything."""
    layers: list[nn.Module] = []
    for places, writes in zip(ATTENDS, WRITES, strict=True):
        layer = EnergyAttention(
            WIDTH, 2, "lse", head_dim=LENGTH, value_dim=SYMBOLS, bias=False, beta=60.0
        )
        maps = layer.projections
        with torch.no_grad():
            query, key = torch.zeros(2, LENGTH, WIDTH), torch.zeros(2, LENGTH, WIDTH)
            for head, place in enumerate(places):
                key[head, :, SYMBOLS:] = torch.eye(LENGTH)
                query[head, place, SYMBOLS + torch.arange(LENGTH)] = 1.0
            maps.query.weight.copy_(query.flatten(0, 1))
            maps.key.weight.copy_(key.flatten(0, 1))
            copied = torch.eye(SYMBOLS, WIDTH)
            maps.value.weight.copy_(copied.repeat(2, 1))
            maps.out.weight.copy_(torch.cat([scale * copied.mT for scale in writes], 1))
        layers.append(layer)
    return Stack(layers).double()


def instances(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Symbols at positions 0 to 3, and as a target at the last position that of position 2."""
    draw = torch.Generator().manual_seed(seed)
    symbols = torch.randint(SYMBOLS, (count, LENGTH - 2), generator=draw)
    x = torch.zeros(count, LENGTH, WIDTH, dtype=torch.float64)
    x[:, : LENGTH - 2, :SYMBOLS] = torch.nn.functional.one_hot(symbols, SYMBOLS).double()
    x[:, :, SYMBOLS:] = torch.eye(LENGTH).double()
    targets = torch.full((count, LENGTH), -100)
    targets[:, -1] = symbols[:, 2]
    return x, targets
