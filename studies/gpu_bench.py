"""How fast layers and training are on a GPU: `python studies/gpu_bench.py --out FILE`.

Times are medians over repetitions, by CUDA events, after a warm-up; inputs are random. Every number
is one line of JSON, written at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import raven
import torch
from populations import draw_all
from stacked import Population
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import EnergyAttention, make_mixer
from attenergy.registry import load_registry
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import build_model
from attenergy.search.training.optimizers import make_optimizers
from attenergy.search.training.predict import predict
from attenergy.tasks import make_task

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
REGISTRY = load_registry(plugins=False)


class Out:
    """Lines of JSON in a file and on the terminal."""

    def __init__(self, path: Path, end: float) -> None:
        self.path, self._end = path, end

    @property
    def over(self) -> bool:
        return time.monotonic() > self._end

    def write(self, **facts: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        print("  ".join(f"{name} {value}" for name, value in facts.items()), flush=True)


def milliseconds(call: Callable[[], object], repeats: int = 20, warm_up: int = 5) -> float:
    """The median time of a call on the device."""
    if DEVICE.type != "cuda":
        call()
        begin = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - begin)
    for _ in range(warm_up):
        call()
    pairs = [(_event(), _event()) for _ in range(repeats)]
    for begin, end in pairs:
        begin.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in pairs)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)


class HandWritten(nn.Module):
    """Multi-head attention as one writes it oneself: one product, the fused kernel, one product."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, length, width = x.shape
        q, k, v = self.inward(x).view(b, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        read = scaled_dot_product_attention(q, k, v)
        return self.out(read.transpose(1, 2).reshape(b, length, width))


class Torch(nn.Module):
    """`nn.MultiheadAttention`, called as a layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


def layers(width: int, heads: int) -> dict[str, Callable[[], nn.Module]]:
    """What is compared, by name."""
    energies = {
        "lse": {}, "lse 3 steps": {"steps": 3}, "zero_sink": {}, "l2_lse": {}, "graph_memory": {},
        "rbm": {}, "sparsemax": {}, "polynomial": {},
    }  # fmt: skip
    made: dict[str, Callable[[], nn.Module]] = {
        "hand-written SDPA": lambda: HandWritten(width, heads),
        "nn.MultiheadAttention": lambda: Torch(width, heads),
    }
    for name, options in energies.items():
        energy = name.split()[0]
        made[name] = lambda e=energy, o=options: EnergyAttention(width, heads, e, **o)
    for name in ("softmax", "linear", "hyla"):
        made[name] = lambda n=name: make_mixer(n, embed_dim=width, num_heads=heads)
    return made


def bench_layers(out: Out, quick: bool) -> None:
    """Forward and backward of whole layers, width 512, 8 heads."""
    width, heads = (512, 8) if DEVICE.type == "cuda" else (32, 2)
    sizes = [(16, 256), (4, 1024)] if quick else [(64, 64), (16, 256), (4, 1024), (1, 4096)]
    for (batch, length), dtype in itertools.product(sizes, ("float32", "bfloat16")):
        x = torch.randn(batch, length, width, device=DEVICE, requires_grad=True)
        reference = None
        for name, make in layers(width, heads).items():
            if out.over or (name == "hyla" and length > 256):
                continue
            layer = make().to(DEVICE)

            def call(layer: nn.Module = layer, x: Tensor = x, dtype: str = dtype) -> None:
                with torch.autocast(DEVICE.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                    y = layer(x)
                y.float().square().mean().backward()

            try:
                ms = milliseconds(call, 10, 3)
            except torch.OutOfMemoryError:
                ms = float("nan")
            reference = reference or ms
            out.write(
                bench="layer", batch=batch, length=length, dtype=dtype, layer=name,
                ms=round(ms, 4), times_sdpa=round(ms / reference, 3),
            )  # fmt: skip


def paper(variant: str, **fix: Any) -> RunConfig:
    """A run of the study at the paper's size."""
    optimizer = fix.pop("optimizer", "muon")
    configs = raven.parts(REGISTRY)[f"paper-{optimizer}-1M"].configs("x", REGISTRY)
    config = next(c for c in configs if c.variant == variant)
    training = config.training.model_copy(update={"steps": 400, "warmup": 50, **fix})
    return config.model_copy(update={"training": training})


def single_step(variant: str, compiled: bool) -> Callable[[], None]:
    """A step of one run, as `train` takes it."""
    config = paper(variant)
    task = make_task(config.task_spec)
    model = build_model(config, task).to(DEVICE)
    optimizers = make_optimizers(model, config.training)
    called = torch.compile(model) if compiled else model
    rows = task.scored_positions
    turn = itertools.cycle([task.batch("train", 128 * i, 128) for i in range(4)])

    def step() -> None:
        batch = next(turn)
        if compiled:
            logits = called(batch.inputs.to(DEVICE), rows=rows)
            loss = task.loss(logits, batch.targets[:, rows].to(DEVICE))
        else:
            loss = task.loss(predict(model, batch, rows), batch.targets.to(DEVICE))
        optimizers.zero_grad()
        loss.backward()
        optimizers.step()

    return step


def bench_single(out: Out, quick: bool) -> None:
    """Steps of single runs at the paper's size, started one by one."""
    for variant, compiled in (("softmax", False), ("lse", False), ("softmax", True)):
        if out.over or (quick and compiled):
            continue
        step = single_step(variant, compiled)
        begin = time.perf_counter()
        step()
        first = time.perf_counter() - begin
        ms = milliseconds(step, 30, 5)
        out.write(
            bench="single", variant=variant, compiled=compiled, ms_per_step=round(ms, 3),
            first_seconds=round(first, 1),
        )  # fmt: skip


def bench_stacked(out: Out, quick: bool) -> None:
    """Steps of populations at the paper's size, each a CUDA graph."""
    steps = 40 if DEVICE.type == "cuda" else 1
    tried: list[tuple[str, int, str, str]] = [
        ("softmax", 6, "high", "float32"),
        ("lse", 6, "high", "float32"),
        ("hyla", 6, "high", "float32"),
        ("softmax", 3, "high", "float32"),
        ("softmax", 24, "high", "float32"),
        ("softmax", 6, "highest", "float32"),
        ("softmax", 6, "high", "bfloat16"),
        ("softmax", 1, "high", "float32"),
    ]
    if not quick:
        tried += [(v, 6, "high", "float32") for v in ("linear", "zero_sink", "graph_memory")]
        tried += [("softmax", 48, "high", "float32")]
    instances = draw_all([paper("softmax")], 4)
    populations = []
    for variant, members, matmul, precision in tried:
        if out.over:
            return
        torch.set_float32_matmul_precision(matmul)
        config = paper(variant, precision=precision)
        other = paper(variant, precision=precision, optimizer="adamw")
        half = members // 2
        begin = time.perf_counter()
        try:
            runs = [config] * (members - half) + [other] * half
            population = Population(runs, DEVICE, instances)
            graph = population.capture()
            built = time.perf_counter() - begin
            population.run(5)
            population.synchronize()
            begin = time.perf_counter()
            population.run(steps)
            launched = time.perf_counter() - begin
            population.synchronize()
            took = time.perf_counter() - begin
        except Exception as error:
            out.write(bench="stacked", variant=variant, members=members, error=str(error)[:300])
            continue
        loss = population.losses[population.done - 1]
        out.write(
            bench="stacked", variant=variant, members=members, matmul=matmul, precision=precision,
            graph=graph, build_seconds=round(built, 2), ms_per_step=round(1000 * took / steps, 3),
            launch_ms=round(1000 * launched / steps, 3),
            ms_per_run_step=round(1000 * took / steps / members, 4),
            loss=[round(float(loss.min()), 3), round(float(loss.max()), 3)],
            gigabytes=round(torch.cuda.memory_reserved() / 1e9, 2) if DEVICE.type == "cuda" else 0,
        )  # fmt: skip
        if members == 6 and matmul == "high" and precision == "float32":
            populations.append(population)
    for count in (2, 3):
        some = populations[:count]
        for population in some:
            population.run(2)
            population.synchronize()
        begin = time.perf_counter()
        for _ in range(steps):
            for population in some:
                population.run(1)
        for population in some:
            population.synchronize()
        took = time.perf_counter() - begin
        out.write(bench="side by side", populations=len(some), members=6,
                  ms_per_step_of_all=round(1000 * took / steps, 3))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="stacked,single,layers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    out = Out(given.out, time.monotonic() + given.seconds)
    benches = {"stacked": bench_stacked, "single": bench_single, "layers": bench_layers}
    for name in given.only.split(","):
        benches[name](out, given.quick)


if __name__ == "__main__":
    main()
