"""What every backend costs against attention written by hand.

Whole layers with projections, forward and backward, float32, against the same projections around
`scaled_dot_product_attention`; CPU time of one thread, A B A B (`timing.py`). Then the peak memory
of one step, whole and in chunks, each in a process of its own. With `--tune`, the allocator is
tuned (`attenergy.attention.gradients.allocator`) for all sides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from formula_speed import ByHand, fused, polynomial, sigmoid, train
from timing import ratios, show
from torch import Tensor, nn

from attenergy.attention import EnergyAttention, gradient
from attenergy.attention.gradients.allocator import tune_cpu
from attenergy.energies import make_energy

WIDTH, HEADS, TOKENS = 64, 4, 2048
RESULTS = Path(__file__).parent / "results"

#: Layers that are timed: name in the table, energy, steps and backend.
LAYERS = (
    ("lse, auto", "lse", 1, "auto"),
    ("lse, scores", "lse", 1, "scores"),
    ("lse, chunked", "lse", 1, "chunked"),
    ("lse, eager, 2 steps", "lse", 2, "eager"),
    ("rbm, auto", "rbm", 1, "auto"),
    ("polynomial, auto", "polynomial", 1, "auto"),
    ("elliptical, eager", "elliptical", 1, "eager"),
    ("elliptical, traced", "elliptical", 1, "traced"),
    ("elliptical, compiled", "elliptical", 1, "compiled"),
    ("uhop, eager", "uhop", 1, "eager"),
)
#: Energies with a best form by hand other than SDPA, and whether it reads values.
OWN_FORM = {"rbm": (sigmoid, True), "polynomial": (polynomial, False)}


def layer_of(energy: str, steps: int, backend: str) -> nn.Module:
    """A layer, or a compiled one."""
    compiled = backend == "compiled"
    chosen = "eager" if compiled else backend
    layer = EnergyAttention(WIDTH, HEADS, energy, steps=steps, backend=chosen)
    return torch.compile(layer, dynamic=False) if compiled else layer  # type: ignore[return-value]


def batch_of(length: int) -> Tensor:
    return torch.randn(max(1, TOKENS // length), length, WIDTH)


def layers(lengths: tuple[int, ...], rounds: int) -> dict[str, dict[str, float]]:
    """Time of each layer over that of one SDPA layer; a form by hand of its own where there is."""
    by_layer: dict[str, dict[str, float]] = {}
    for length in lengths:
        x = batch_of(length)
        base = partial(train, ByHand(fused, True), x)
        for name, energy, steps, backend in LAYERS:
            if backend == "compiled" and length > 256:
                continue  # half a minute each
            torch.compiler.reset()
            hand = ByHand(*OWN_FORM[energy]) if energy in OWN_FORM else None  # type: ignore[arg-type]
            sides: list[Callable[[], object]] = [
                base,
                partial(train, layer_of(energy, steps, backend), x),
            ]
            if hand is not None:
                sides.append(partial(train, hand, x))
            times = ratios(sides, rounds, 0.03)
            by_layer.setdefault(name, {})[str(length)] = times[1]
            if hand is not None:
                by_layer.setdefault(f"{name} / by hand", {})[str(length)] = times[1] / times[2]
    return by_layer


def step(energy: nn.Module, xi: Tensor, X: Tensor, steps: int, backend: str) -> None:
    """Steps of gamma = 1 and their derivatives, without projections."""
    xi.grad = X.grad = None
    state = xi
    for _ in range(steps):
        state = state - gradient(energy, state, X, backend=backend)  # type: ignore[arg-type]
    state.sum().backward()


def operators(lengths: tuple[int, ...], rounds: int) -> dict[str, dict[str, float]]:
    """Three steps over one, and one step by autograd over one by SDPA."""
    times: dict[str, dict[str, float]] = {"lse, 3 steps / 1 step": {}, "rbm, 3 steps / 1 step": {}}
    for length in lengths:
        for name, backend in (("lse", "sdpa"), ("rbm", "scores")):
            energy = make_energy(name, dim=32, num_heads=8)
            xi, X = (torch.randn(1, 8, length, 32).requires_grad_() for _ in range(2))
            sides = [partial(step, energy, xi, X, n, backend) for n in (1, 3)]
            times[f"{name}, 3 steps / 1 step"][str(length)] = ratios(sides, rounds, 0.03)[1]
    return times


def memory(lengths: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Peak MB beyond the start of a process, for one step and its derivatives.

    Freed blocks go back to the system at once, so that the peak is of what is in use.
    """
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    sizes: dict[str, dict[str, float]] = {}
    for energy in ("rbm", "elliptical"):
        for backend in ("whole", "chunked"):
            row = sizes[f"{energy}, {backend}"] = {}
            for length in lengths:
                if backend == "whole" and length > 2048:
                    continue  # up to gigabytes
                command = [sys.executable, __file__, "--peak", energy, backend, str(length)]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=True, env=environment
                )
                row[str(length)] = float(done.stdout)
    return sizes


def peak(name: str, backend: str, length: int) -> float:
    """Megabytes that a step of two heads takes at most, beyond what the process held before it."""
    energy = make_energy(name, dim=64, num_heads=2)
    kind = backend if backend == "chunked" else ("scores" if energy.has_weights else "eager")
    for states in (128, length):
        xi, X = (torch.randn(1, 2, states, 64).requires_grad_() for _ in range(2))
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _kilobytes("VmHWM")
        step(energy, xi, X, 1, kind)
    return (_kilobytes("VmHWM") - before) / 1024


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes and rounds")
    parser.add_argument("--tune", action="store_true", help="tune the allocator first")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tuned = options.tune and tune_cpu()
    if options.peak:
        print(peak(options.peak[0], options.peak[1], int(options.peak[2])))
        return
    lengths = (64,) if options.quick else (64, 256, 1024, 2048)
    rounds = 3 if options.quick else 5
    far = (1024, 2048) if options.quick else (1024, 2048, 4096, 8192)
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "processor": platform.machine(),
        "tuned": tuned,
    }
    sections: dict[str, Callable[[], dict[str, dict[str, float]]]] = {
        "time / SDPA layer by hand": lambda: layers(lengths, rounds),
        "steps": lambda: operators(lengths, rounds),
        "peak MB": lambda: memory(far),
    }
    for title, measure in sections.items():
        result[title] = table = measure()
        columns = sorted({n for row in table.values() for n in row}, key=int)
        rows = [[name, *(row.get(c, "") for c in columns)] for name, row in table.items()]
        show(title, ("", *(f"N={c}" for c in columns)), rows)
        if not options.quick:
            file = RESULTS / f"layers{'_tuned' if tuned else ''}.json"
            file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
