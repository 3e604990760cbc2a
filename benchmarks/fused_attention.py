"""From how many patterns on does PyTorch's fused attention beat explicit weights?

One step of log-sum-exp, forward and backward, by both backends. The answer is
`attenergy.attention.gradients.sdpa.CPU_PATTERNS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from timing import ratios, show
from torch import Tensor

from attenergy.attention import relax
from attenergy.energies import Energy, make_energy

TOKENS = 4096  # states in a batch of all heads


def step(energy: Energy, backend: str, tensors: dict[str, Tensor]) -> None:
    """One step forward and backward."""
    for tensor in tensors.values():
        tensor.grad = None
    relax(energy, **tensors, backend=backend).state.sum().backward()  # type: ignore[arg-type]


def problem(length: int, heads: int, dim: int, with_field: bool) -> dict[str, Tensor]:
    batch = max(1, TOKENS // (length * heads))
    tensors = {name: torch.randn(batch, heads, length, dim) for name in ("xi", "X")}
    if with_field:
        tensors["field"] = torch.randn(1, heads, length, length)
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def check(energy: Energy, tensors: dict[str, Tensor]) -> None:
    """Both backends give the same step."""
    both = [relax(energy, **tensors, backend=b).state for b in ("scores", "sdpa")]  # type: ignore[arg-type]
    torch.testing.assert_close(*both, rtol=1e-4, atol=1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes and rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lengths = (64, 256) if options.quick else (16, 36, 64, 128, 192, 256, 384, 512, 1024)
    rounds, rows = (3 if options.quick else 15), []
    for dim in (16,) if options.quick else (4, 16, 64):
        energy = make_energy("lse", dim=dim, num_heads=4)
        for length in lengths:
            row: list[object] = [f"D={dim} S={length}"]
            for with_field in (False, True):
                tensors = problem(length, 4, dim, with_field)
                check(energy, tensors)
                both: list[Callable[[], None]] = [
                    partial(step, energy, backend, tensors) for backend in ("scores", "sdpa")
                ]
                row.append(ratios(both, rounds)[1])
            rows.append(row)
    title = "time of the fused kernel / time of explicit weights (forward + backward, 1 thread)"
    show(title, ("size", "no field", "field that learns"), rows)


if __name__ == "__main__":
    main()
