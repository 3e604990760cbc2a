"""Where the time goes in what misses its target: operators, calls and milliseconds.

    python benchmarks/profiles.py [--seconds 1.0]

Reads the targets that `layer_speed.py` has recorded as missed, and profiles each of these layers
and what it is held against, forward and backward, one thread, at the same sizes. For the targets of
whole searches (`throughput.py`, `flagship.py`) it profiles a training step of `raven-small`, the
making of its batch apart. Results go to `results/profiles.json`, with the machine.

An operator's own time is the time in it without what it calls. "Python and autograd" is the rest of
the CPU time of a pass: the interpreter, the graph, allocation.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from formula_speed import TOKENS, WIDTH, train
from layer_speed import ByHand, layer_of, layers, training_step
from torch.profiler import ProfilerActivity, profile

from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.runs import provenance
from attenergy.tasks import make_task

RESULTS = Path(__file__).parent / "results"
OPERATORS = 8
_LAYER = re.compile(r"(?P<name>.+) / (?P<base>.+), N = (?P<length>\d+)")

Work = Callable[[], object]


def missed() -> Iterator[tuple[str, int]]:
    """Layers and lengths whose target was missed; what they are held against comes with them."""
    rows = json.loads((RESULTS / "layer_speed.json").read_text())["targets"]
    for row in rows:
        match = _LAYER.fullmatch(row["name"])
        if match and row["verdict"] == "missed":
            base = match["base"]
            yield (base if base != "SDPA by hand" else "", int(match["length"]))
            yield match["name"], int(match["length"])


def layer_work(name: str, length: int) -> Work:
    """Forward and backward pass of a layer; of the one written by hand where the name is empty."""
    torch.manual_seed(0)
    x = torch.randn(max(1, TOKENS // length), length, WIDTH)
    if not name:
        return partial(train, ByHand(), x)
    entry, settings = next((entry, own) for title, entry, own in layers() if title == name)
    return partial(train, layer_of(entry, settings, length), x)


def batch_work() -> Work:
    """Making the next batch of raven-small."""
    spec = load_registry().tasks["raven-small"]
    task, size = make_task(spec), spec.training.batch_size
    starts = count(0, size)
    return lambda: task.batch("train", next(starts), size)


def measured(work: Work, seconds: float) -> dict[str, Any]:
    """Milliseconds of one pass, and of its operators."""
    for _ in range(3):
        work()
    passes, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        work()
        passes += 1
    whole = 1000 * (time.process_time() - begin) / passes
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        for _ in range(passes):
            work()
    events = sorted(seen.key_averages(), key=lambda event: -event.self_cpu_time_total)
    own = [event for event in events if event.key.startswith("aten::")]
    rows = [
        {
            "operator": event.key,
            "calls": round(event.count / passes, 1),
            "ms": round(event.self_cpu_time_total / 1000 / passes, 3),
        }
        for event in own[:OPERATORS]
    ]
    inside = sum(event.self_cpu_time_total for event in own) / 1000 / passes
    return {
        "ms": round(whole, 3),
        "in operators, profiled": round(inside, 3),
        "calls": round(sum(event.count for event in own) / passes),
        "operators": rows,
    }


def show(name: str, figures: dict[str, Any]) -> None:
    """Print one profile on two lines."""
    parts = (f"{r['operator'][6:]} {r['ms']:.2f} ({r['calls']:g}x)" for r in figures["operators"])
    print(f"{name}: {figures['ms']:.2f} ms, {figures['calls']} operators")
    print(f"    {', '.join(parts)}", flush=True)


def main() -> None:
    """Profile what is missed and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each profile")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    works: dict[str, Callable[[], Work]] = {
        f"{name or 'SDPA by hand'}, N = {length}": partial(layer_work, name, length)
        for name, length in missed()
    }
    works["raven-small, making batches"] = batch_work
    for variant in ("softmax", "lse", "rbm"):
        works[f"raven-small, a training step of {variant}"] = partial(training_step, variant)
    profiles = {}
    for name, make in works.items():
        profiles[name] = measured(make(), seconds)
        show(name, profiles[name])
    result = {
        "command": "python benchmarks/profiles.py",
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "load": os.getloadavg()[0],
        "profiles": profiles,
    }
    write_atomically(RESULTS / "profiles.json", json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
