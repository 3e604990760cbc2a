"""Tables and notes of the paths and heads of a model."""

from __future__ import annotations

from attenergy.analysis.head_map import short_names
from attenergy.analysis.paths.alignment import Alignment
from attenergy.analysis.paths.measures import MOST_SHOWN, Measures
from attenergy.analysis.result import Table

_COLUMNS = ["+-", "95 %", "p"]


def tables_of(measures: Measures) -> list[Table]:
    """Paths, heads, sums of paths, and scores against removed heads."""
    tables = []
    if measures.alignment is not None:
        shown = measures.shown_paths()
        rows = [
            [
                measures.path_name(measures.paths[i]),
                *_judged(measures.alignment, measures.written, i),
            ]
            for i in shown
        ]
        title = f"Paths, {len(shown)} of {len(measures.paths)}, the best aligned first"
        tables.append(Table(title, ["path", *_header(measures.written)], rows))
    tables.append(_of_heads(measures))
    if measures.sum_alignment is not None:
        rows = [
            [what, *_numbers(measures.sum_alignment, i)] for i, what in enumerate(measures.sums)
        ]
        header = ["weights", "patterns", *_COLUMNS]
        tables.append(Table("The kernel of all paths together, weighted by", header, rows))
    if measures.curves:
        header = ["removed heads", *(curve.order for curve in measures.curves)]
        rows = [
            [f"{number}", *(f"{curve.scores[i]:.3f}" for curve in measures.curves)]
            for i, number in enumerate(measures.curves[0].removed)
        ]
        title = f"The {measures.metric} without the heads that come first by"
        tables.append(Table(title, header, rows, texts=0))
    return tables


def notes_of(measures: Measures) -> list[str]:
    """How to read it, and its limits."""
    notes = [
        f"Alignments are over {measures.points} scored positions, one of each instance, with a "
        "jackknife standard error. 'patterns' is of the input along the path, 'written' of what "
        "its values and output maps make of that. '95 %' is what most alignments with shuffled "
        "targets are below; p holds for all rows together. Of heads, 'norm' is that of the output "
        f"map, 'U' the share of |U| in paths through it, 'without' the {measures.metric} without "
        "that head alone."
    ]
    if measures.alignment is None:
        notes.append(
            f"The model has {measures.number_of_paths} paths, more than are followed one by one: "
            "heads are looked at by dynamic programming over the layers."
        )
    if measures.explained is None:
        notes.append(
            "The values of a layer are not known or not linear, so there are no effective weights "
            "of paths: patterns alone are looked at."
        )
    elif measures.explained > 1 - 1e-6:
        notes.append(
            "The last layer is the sum over paths, exactly, given the attention patterns: there "
            "is nothing between the layers but residual connections."
        )
    else:
        notes.append(
            f"A reading: norms and feed-forward parts are in no path. Without them the sum over "
            f"paths explains {measures.explained:.0%} of the variance of the last layer's output."
        )
    note = (
        "A path carries values. A head that only shapes the patterns of later layers looks "
        "irrelevant here, and pruning shows whether it is."
    )
    if measures.costly is not None and measures.scores_without is not None:
        name, head = measures.costly
        score = measures.scores_without[measures.every_head.index(measures.costly)]
        note += (
            f" Of the heads within the null, {head} of {name} costs most when it is removed alone: "
            f"{measures.curves[0].at(0):.3f} to {score:.3f}."
        )
    notes.append(note)
    if measures.curves:
        apart = "other instances than" if measures.apart else "the same instances as"
        notes.append(
            f"Scores are of {apart} the alignments, without any training after the removal; "
            f"random is the mean of {measures.draws} orders."
        )
    if measures.unpruned:
        notes.append(f"Nothing was pruned: {measures.unpruned}.")
    return notes


def _of_heads(measures: Measures) -> Table:
    header = ["layer", "head", *_header(measures.head_written), "norm"]
    if measures.head_scores is not None:
        header.append("U")
    if measures.scores_without is not None:
        header.append("without")
    short = dict(zip(measures.layers, short_names(measures.layers), strict=True))
    order = measures.head_relevance.value.argsort(descending=True, stable=True).tolist()
    shown = order[:MOST_SHOWN]
    rows = []
    for i in shown:
        name, head = measures.every_head[i]
        numbers = _judged(measures.head_alignment, measures.head_written, i)
        norm = "" if measures.norms is None else f"{measures.norms[i]:.2f}"
        row = [short[name], f"{head}", *numbers, norm]
        if measures.head_scores is not None:
            row.append(f"{measures.head_scores[i]:.2f}")
        if measures.scores_without is not None:
            row.append(f"{measures.scores_without[i]:.3f}")
        rows.append(row)
    title = f"Heads, {len(shown)} of {len(order)}, the best aligned first"
    return Table(title, header, rows, texts=2)


def _header(written: Alignment | None) -> list[str]:
    """What stands in the columns of `_judged`."""
    if written is None:
        return ["patterns", *_COLUMNS]
    return ["written", *_COLUMNS, "patterns"]


def _judged(patterns: Alignment, written: Alignment | None, i: int) -> list[str]:
    """What a path or head is judged by, in full, and what its patterns say beside it."""
    if written is None:
        return _numbers(patterns, i)
    return [*_numbers(written, i), *_numbers(patterns, i)[:1]]


def _numbers(alignment: Alignment, i: int) -> list[str]:
    row = alignment.row(i)
    return [f"{row[name]:.3f}" for name in ("value", "error", "high", "p")]
