"""One layer in two source trees: what a change costs or saves in CPU time.

    python benchmarks/layer_overhead.py BEFORE AFTER [--out FILE]

BEFORE and AFTER are values of PYTHONPATH, each of which makes `attenergy` importable from one tree.
A process for each tree builds the same layer of `raven-small` (width 64, 8 heads, N = 18, three
steps) and runs it forward and backward, with all pairs visible and under a causal mask; the two
take turns (A B A B ...), one thread each, and the ratio is the median over rounds of the ratio of
CPU times within a round. Both give the same numbers, which is checked first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENERGIES = ("lse", "hyla", "graph_memory", "vector_spins", "sparsemax", "continuous_time")
WIDTH, HEADS, LENGTH, STEPS = 64, 8, 18, 3
MASKS = ("none", "causal")


class Worker:
    """A process whose `attenergy` comes from one tree."""

    def __init__(self, path: str) -> None:
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment,
        )  # fmt: skip

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker has ended; its message stands above")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Answer requests: the checksum of a case, or the CPU seconds of running it."""
    import torch

    from attenergy.attention import make_layer

    torch.set_num_threads(1)
    layers: dict[str, Any] = {}

    def run(case: dict[str, Any]) -> Any:
        key = json.dumps(case)
        if key not in layers:
            torch.manual_seed(0)
            steps = {} if case["energy"] == "hyla" else {"steps": STEPS}
            layer = make_layer(case["energy"], embed_dim=WIDTH, num_heads=HEADS, **steps)
            x = torch.randn(case["batch"], LENGTH, WIDTH).requires_grad_()
            mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
            layers[key] = layer, x, mask if case["mask"] == "causal" else None
        layer, x, mask = layers[key]
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x, mask=mask).square().mean().backward()
        return x.grad

    for line in sys.stdin:
        request = json.loads(line)
        repeat = request.pop("repeat", 0)
        answer: float
        if repeat:
            start = time.process_time()
            for _ in range(repeat):
                run(request)
            answer = time.process_time() - start
        else:
            answer = float(run(request).double().norm())
        print(json.dumps(answer), flush=True)


def compare(
    trees: tuple[str, str], energies: Sequence[str], batch: int, rounds: int, seconds: float
) -> dict[str, float]:
    """Time after over time before, of every case."""
    workers = [Worker(tree) for tree in trees]
    ratios: dict[str, float] = {}
    for energy in energies:
        for mask in MASKS:
            case = {"energy": energy, "mask": mask, "batch": batch}
            sums = [worker.ask(**case) for worker in workers]
            if abs(sums[0] - sums[1]) > 1e-5 * abs(sums[0]):
                raise SystemExit(f"{case}: the trees differ, {sums[0]} and {sums[1]}")
            once = workers[0].ask(**case, repeat=1)
            repeat = max(1, round(seconds / max(once, 1e-4)))
            times = [[w.ask(**case, repeat=repeat) for w in workers] for _ in range(rounds)]
            ratios[f"{energy}, mask {mask}"] = round(
                statistics.median(new / old for old, new in times), 3
            )
            print(
                f"{energy:>16}  mask {mask:<7} batch {batch:<4} {ratios[f'{energy}, mask {mask}']}"
            )
    for worker in workers:
        worker.close()
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("before", nargs="?", help="PYTHONPATH of the tree to compare with")
    parser.add_argument("after", nargs="?", help="PYTHONPATH of the tree that was changed")
    parser.add_argument("--energies", nargs="+", default=ENERGIES, help="and mixers")
    parser.add_argument("--batches", nargs="+", type=int, default=(8, 128))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.15, help="of one side in a round")
    parser.add_argument("--out", type=Path, help="where the ratios are written")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    if not (arguments.before and arguments.after):
        parser.error("name two trees")
    ratios = {
        f"batch {batch}": compare(
            (arguments.before, arguments.after),
            arguments.energies,
            batch,
            arguments.rounds,
            arguments.seconds,
        )
        for batch in arguments.batches
    }
    if arguments.out is not None:
        result = {
            "command": "python benchmarks/layer_overhead.py BEFORE AFTER "
            f"--rounds {arguments.rounds} --seconds {arguments.seconds:g}",
            "width": WIDTH, "heads": HEADS, "length": LENGTH, "steps": STEPS,
            "processor": platform.machine(), "load": os.getloadavg()[0],
            "time after over time before": ratios,
        }  # fmt: skip
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
