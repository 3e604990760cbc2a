"""The tables of docs/bench.md, from the tables of curves and the committed results.

    python benchmarks/policies/write_page.py

The results are those of `attenergy bench policies ... --format json`, in results/policies_*.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from attenergy.search.bench.table import CurveTable, load_table, table_names
from attenergy.search.results import formats
from attenergy.search.results.statistics import Interval

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "bench.md"
RESULTS = ROOT / "benchmarks" / "results"


def tables() -> str:
    """One row for each table of curves."""
    header = ["table", "task", "steps", "configurations", "runs", "scores", "a seed", "seconds"]
    return formats.markdown_table(header, [_about(load_table(name)) for name in table_names()])


def _about(table: CurveTable) -> list[str]:
    options = "".join(f" {name}={value}" for name, value in table.task_options.items())
    ends = [[run.scores[-1] for run in c.runs_of(table.steps)] for c in table.configs]
    means = [fmean(each) for each in ends]
    strays = [stdev(each) ** 2 for each in ends if len(each) > 1]
    points = len(table.configs[0].runs_of(table.steps)[0].at)
    seconds = fmean(config.seconds(table.steps, points) for config in table.configs)
    return [
        table.name,
        f"{table.task}{options}",
        " and ".join(map(str, table.lengths)),
        f"{len(table.configs)} of {len(table.variants)} variants",
        f"{sum(len(config.runs) for config in table.configs)}",
        f"{min(means):.3f} to {max(means):.3f}",
        f"±{fmean(strays) ** 0.5:.3f}",
        f"{seconds:.1f}",
    ]


def results() -> str:
    """One part for each result."""
    parts = []
    for path in sorted(RESULTS.glob("policies_*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        parts.append(_result(data, path))
    return "\n\n".join(parts)


def _result(data: dict[str, Any], path: Path) -> str:
    reference = data["reference"]
    name = f"{reference['policy']} at {reference['minutes']:g} min"
    header = ["policy", "minutes", "regret", f"beyond {name}", "trials", "finals"]
    rows = [
        [
            row["policy"],
            f"{row['minutes']:g}",
            formats.score(Interval(**row["regret"])),
            formats.difference(Interval(**row["more_than_reference"])),
            f"{row['trials']:.0f}",
            f"{row['finals']:.0f}",
        ]
        for row in data["outcomes"]
    ]
    return (
        f"**`{data['table']}`**, {data['repeats']} searches on {data['workers']} workers each: "
        f"mean regret, 95 % interval. The best true score is {data['best']:.3f}, the mean of "
        f"all configurations {data['mean']:.3f} (`results/{path.name}`).\n\n"
        + formats.markdown_table(header, rows)
        + f"\n\n![Regret against simulated minutes](../benchmarks/results/{path.stem}.png)"
    )


def written(page: str) -> str:
    """The page with both parts as they are now."""
    for name, content in (("tables", tables()), ("results", results())):
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page = pattern.sub(lambda match, text=content: f"{match[1]}{text}\n{match[2]}", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
