"""What a leaderboard says of the cost of a run: one row of `COSTS` for each column.

Terminal, Markdown and HTML tables, the note below them and the pictures of cost read this table;
JSON holds the numbers of the records under the same keys. A new column is one more row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from attenergy.search.results import formats


@dataclass(frozen=True)
class CostColumn:
    """One cost: where a record has it, and how a table and a picture show it."""

    key: str  # in `RunRecord.cost`
    header: str
    format: Callable[[float | None], str]
    title: str  # of its picture
    axis: str  # of its picture, with the unit
    explanation: str = ""  # for the note below a table; empty where the header says enough


COSTS = (
    CostColumn("parameters", "params", formats.count, "Size", "parameters"),
    CostColumn(
        "forward_flops",
        "FLOPs",
        formats.count,
        "Operations",
        "FLOPs of a forward pass, one instance",
        "forward pass of one instance",
    ),
    CostColumn(
        "ms_per_step",
        "ms",
        formats.number,
        "Speed",
        "milliseconds of a training step",
        "per training step",
    ),
    CostColumn("seconds", "s", formats.count, "Time", "seconds of a run", "whole run"),
)


def cost_headers() -> list[str]:
    """The headers of all costs."""
    return [column.header for column in COSTS]


def cost_cells(cost: Mapping[str, float]) -> list[str]:
    """The cells of one row of a leaderboard."""
    return [column.format(cost.get(column.key)) for column in COSTS]


def cost_note() -> str:
    """What the headers mean, in one line."""
    known = [f"{c.header}: {c.explanation}" for c in COSTS if c.explanation]
    return f"{'; '.join(known)}."
