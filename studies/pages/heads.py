"""The number of heads and their width: tables on the small task and at the paper's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compared import HEADED, WIDE

from attenergy.search.results import formats
from attenergy.search.runs.config import RunRecord
from attenergy.testing.docs_pages import markdown
from pages.output import write_page
from pages.tables import about, complete, plus_minus, value

SPLITS = ("valid", "test", "ood")
#: Parts at the paper's size whose models have other heads, and the part with the paper's.
PAPER = ("paper-muon-1M", "paper-heads-1M", "paper-wide-1M")
_RULES = ("addition", "distribute_three")
_Key = tuple[str, int, int]  # variant, heads, their width


def draw_heads(recorded: Mapping[str, Sequence[RunRecord]]) -> None:
    """Write `results/heads.md`."""
    small = _by_heads([*recorded["heads"], *recorded["zoo"]], HEADED)
    text = ["# The number of heads and their width", "", *about(recorded["heads"], "heads")]
    text += ["The model is 64 wide, so more heads are narrower ones.", "", *_table(small), ""]
    paper = [record for part in PAPER for record in recorded.get(part, ())]
    text += [
        "## At the paper's size", "",
        "With Muon and a million instances; the paper has 16 heads of 4 in a model of width 128. "
        "The last two columns are accuracies on held-out combinations for these rules.", "",
        *_table(_by_heads(paper, (*HEADED, *WIDE)), _RULES), "",
    ]  # fmt: skip
    write_page("heads", text)


def _by_heads(
    records: Sequence[RunRecord], variants: Sequence[str]
) -> dict[_Key, dict[int, RunRecord]]:
    """Complete runs of some variants by their heads and seed."""
    result: dict[_Key, dict[int, RunRecord]] = {}
    for record in complete(records):
        model, variant = record.config.model, record.config.variant
        if variant in variants:
            key = (variant, model.heads, model.head_dim or model.width // model.heads)
            result.setdefault(key, {})[record.config.seed] = record
    return result


def _table(cells: dict[_Key, dict[int, RunRecord]], rules: Sequence[str] = ()) -> list[str]:
    rows = []
    order = list(dict.fromkeys(variant for variant, _, _ in cells))
    for variant, heads, width in sorted(cells, key=lambda key: (order.index(key[0]), *key[1:])):
        runs = list(cells[variant, heads, width].values())
        row = [f"`{variant}`", str(heads), str(width), str(len(runs))]
        row += [plus_minus([value(run, split) for run in runs]) for split in SPLITS]
        row.append(f"{runs[0].cost['parameters']:,.0f}")
        row += [
            plus_minus([run.metrics["ood"][f"accuracy_{rule}"] for run in runs]) for rule in rules
        ]
        rows.append(row)
    head = ["variant", "heads", "of width", "seeds", *map(formats.split, SPLITS), "parameters"]
    return markdown.table([*head, *(rule.replace("_", " ") for rule in rules)], rows).splitlines()
