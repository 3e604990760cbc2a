"""Couplings of places and attention in one model: a table."""

from __future__ import annotations

from collections.abc import Sequence

from attenergy.search.runs.config import RunRecord
from pages.output import write_page
from pages.tables import about, scores_of, table

#: The layers of the stacks alone, from the part `zoo`.
ALONE = ("softmax", "linear_attention", "place_rbm")


def draw_stacks(records: Sequence[RunRecord], zoo: Sequence[RunRecord]) -> None:
    """Write `results/stacks.md`: the stacks, beside their layers alone."""
    alone = [record for record in zoo if record.config.variant in ALONE]
    rows = table(scores_of([*records, *alone]), "softmax", ("valid", "test", "ood"))
    text = ["# Couplings of places and attention in one model", "", *about(records, "stacks")]
    text += ["A `/` stands between blocks, a `+` between groups of heads.", "", *rows, ""]
    write_page("stacks", text)
