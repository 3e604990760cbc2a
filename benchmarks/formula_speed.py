"""Is a layer from a formula as fast as one written by hand?

Forward and backward of a whole layer with its projections: by formula, and in plain PyTorch as a
careful programmer would write it. 1.00 means equally fast.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial

import torch
from timing import ratios, show
from torch import Tensor, nn

from attenergy.attention import EnergyAttention

WIDTH, HEADS, TOKENS = 64, 4, 2048


class ByHand(nn.Module):
    """Projections and one update, without the toolkit."""

    def __init__(self, read: Callable[[Tensor, Tensor, Tensor], Tensor], with_values: bool) -> None:
        super().__init__()
        self.read = read
        self.query, self.key, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.value = nn.Linear(WIDTH, WIDTH) if with_values else None
        start = -0.5 * math.log(WIDTH // HEADS)
        self.log_beta = nn.Parameter(torch.full((HEADS, 1, 1), start))
        self.bias = nn.Parameter(torch.zeros(HEADS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        maps = [m for m in (self.query, self.key, self.value) if m is not None]
        q, k, *v = (m(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2) for m in maps)
        read = self.read(q, k, *v, self.log_beta.exp(), self.bias)  # type: ignore[call-arg]
        out: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return out


def softmax(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    return torch.softmax(beta * (q @ k.mT), -1) @ v


def fused(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(beta * q, k, v, scale=1.0)


def sigmoid(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    return torch.sigmoid(beta * (q @ k.mT + bias)) @ v


def on_sphere(xi: Tensor) -> Tensor:
    return xi * torch.rsqrt((xi * xi).mean(-1, keepdim=True) + 1e-7)


def polynomial(q: Tensor, k: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    q = on_sphere(q)
    return on_sphere(q + torch.relu(beta * (q @ k.mT)).square() @ k)


BY_HAND = {
    "lse": (softmax, True),
    "lse, fused": (fused, True),
    "rbm": (sigmoid, True),
    "polynomial": (polynomial, False),
}


def train(layer: nn.Module, x: Tensor) -> None:
    """Forward and backward."""
    layer.zero_grad(set_to_none=True)
    layer(x).sum().backward()


def pair(name: str) -> tuple[nn.Module, EnergyAttention]:
    """The layer by hand and the one from the formula, with the same weights."""
    read, with_values = BY_HAND[name]
    hand = ByHand(read, with_values)  # type: ignore[arg-type]
    backend = "sdpa" if "fused" in name else "scores"
    layer = EnergyAttention(WIDTH, HEADS, name.split(",", maxsplit=1)[0], steps=1, backend=backend)
    layer.projections.load_state_dict(
        {k: v for k, v in hand.state_dict().items() if k not in ("log_beta", "bias")}
    )
    return hand, layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes and rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lengths = (18, 64) if options.quick else (18, 64, 256)
    rounds, rows = (3 if options.quick else 25), []
    for name in BY_HAND:
        hand, layer = pair(name)
        row: list[object] = [name]
        for length in lengths:
            x = torch.randn(max(1, TOKENS // length), length, WIDTH)
            torch.testing.assert_close(layer(x), hand(x), rtol=1e-4, atol=1e-4)
            row.append(ratios([partial(train, hand, x), partial(train, layer, x)], rounds)[1])
        rows.append(row)
    title = "time of the layer from a formula / of the same layer by hand (forward + backward)"
    show(title, ("energy", *(f"L={length}" for length in lengths)), rows)


if __name__ == "__main__":
    main()
