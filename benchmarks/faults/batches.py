"""Kills in batches, each added to a file of results, which goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attenergy.registry.files import write_atomically
from attenergy.search.runs import provenance

Results = dict[str, Any]


def kill_in_batches(
    kills: int,
    one_batch: Callable[[int, int], Results],
    summed: Callable[[list[Results]], Results],
    command: str,
    out: Path | None,
) -> Results:
    """Make batches until there are so many kills; the sum of all, which is printed.

    Args:
        kills: in all; what the file holds counts.
        one_batch: makes a batch from its number and the most kills of it; `kills` is in its result.
        summed: all batches together.
        command: that makes the file.
        out: the file; None for none.
    """
    runs: list[Results] = []
    if out is not None and out.exists():
        runs = json.loads(out.read_text())["runs"]
    while (rest := kills - sum(sum(run["kills"].values()) for run in runs)) > 0:
        runs.append(one_batch(len(runs), rest))
        print(json.dumps(runs[-1]), flush=True)
        report = {
            "command": command,
            "total": summed(runs),
            "versions": provenance.versions(),
            "machine": provenance.machine(),
            "runs": runs,
        }
        if out is not None:
            write_atomically(out, json.dumps(report, indent=2) + "\n")
    total = summed(runs)
    print(json.dumps(total, indent=2))
    return total
