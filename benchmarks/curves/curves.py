"""What the scripts that draw curves share: options, and results as JSON and PNG."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).resolve().parents[1] / "results"

Data = dict[str, Any]
Draw = Callable[[Any, Data], None]


def run(name: str, doc: str | None, measure: Callable[[bool], Data], draw: Draw) -> None:
    """Read the options, measure, and write `<name>.json` and `<name>.png`."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, seconds")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    data = measure(options.quick)
    seconds = round(time.process_time() - start, 1)
    versions = {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}
    record = {"quick": options.quick, "cpu_seconds": seconds, "versions": versions, **data}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    _picture(options.output / f"{name}.png", data, draw)
    print(json.dumps(data, indent=1))
    print(f"{seconds} s of CPU time; written to {options.output}/{name}.json and .png")


def _picture(path: Path, data: Data, draw: Draw) -> None:
    try:
        import matplotlib as mpl
    except ImportError:
        print("no picture: `pip install matplotlib` for one")
        return
    mpl.use("agg")
    import matplotlib.pyplot as plt

    panels = data.get("panels", 1)
    figure, axes = plt.subplots(1, panels, figsize=(4.6 * panels, 3.6), squeeze=False)
    draw(axes[0], data)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def mean_and_error(values: torch.Tensor) -> tuple[float, float]:
    """Mean over the first axis and its standard error, rounded for a record."""
    values = values.double()
    error = values.std(0) / len(values) ** 0.5 if len(values) > 1 else torch.zeros(())
    return round(float(values.mean(0)), 4), round(float(error), 4)
