"""The family tree of a formula: every ancestor in a row, and lines from each to its parents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from attenergy.analysis.drawing import WIDE, Picture, colour, drawing
from attenergy.energies.language import FormulaError
from attenergy.registry.printable import printable
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results.discovery import Discovery, Formula
from attenergy.search.discovery.results.order import ancestry, last_score
from attenergy.search.discovery.results.pictures import LOOKS
from attenergy.search.report.html.mathml import to_mathml
from attenergy.search.results import formats

#: Pixels: the distance of lines, the place of the first one, and the height of a row's heading,
#: in the middle of which its node stands. What is below the heading is as high as the formula.
LANE, LEFT, HEADING, _RADIUS = 20, 12, 34, 6
_LETTERS = 110  # of a formula in the drawing
_LINE: Any = {"color": colour("soft"), "linewidth": 1.5, "zorder": 1}
#: Ancestors that are drawn, the youngest first.
MOST = 40


@dataclass(frozen=True)
class Place:
    """A formula in the tree, and the lines beside it.

    Attributes:
        formula: that stands there.
        lane: the line that its node is on.
        before: the lines that come from above.
        after: the lines that go on below.
        parents: those of them that begin at the node, or join a line that goes to the same parent.
    """

    formula: Formula
    lane: int
    before: frozenset[int]
    after: frozenset[int]
    parents: frozenset[int]


def places(discovery: Discovery, formulas: Sequence[Formula]) -> list[Place]:
    """Where every formula stands: the youngest at the top, parents below their children.

    A child's line goes on to its first parent; other parents get lines of their own, unless one
    leads to them already.

    Args:
        discovery: whose formulas they are.
        formulas: the youngest first.
    """
    drawn = {formula.number for formula in formulas}
    waiting: dict[int, int] = {}  # line -> the number that it leads to
    result = []
    for formula in formulas:
        before = frozenset(waiting)
        lane = _line_to(waiting, formula.number)
        waiting.pop(lane, None)
        own = set()
        for parent in (p.number for p in discovery.parents(formula) if p.number in drawn):
            if parent in waiting.values():
                line = _line_to(waiting, parent)
            else:
                line = lane if lane not in waiting else _free(waiting)
                waiting[line] = parent
            own.add(line)
        result.append(Place(formula, lane, before, frozenset(waiting), frozenset(own)))
    return result


def _line_to(waiting: dict[int, int], number: int) -> int:
    """The line that leads to a number; else a free one."""
    return next((line for line, goal in waiting.items() if goal == number), _free(waiting))


def _free(waiting: dict[int, int]) -> int:
    return next(line for line in range(len(waiting) + 1) if line not in waiting)


def family(discovery: Discovery, winner: Formula) -> dict[str, Any]:
    """The tree for the page: for every row its lines, and what stands beside them."""
    formulas = ancestry(discovery, winner)
    shown = places(discovery, formulas[:MOST])
    lines = max(max({place.lane} | place.before | place.after) for place in shown)
    width = 2 * LEFT + LANE * lines
    return {
        "heading": HEADING,
        "width": width,
        "rows": [
            {**_row(discovery, place.formula, winner), "lines": _lines(place, width)}
            for place in shown
        ],
        "older": len(formulas) - len(shown),
    }


def _lines(place: Place, width: int) -> dict[str, str]:
    """The lines beside a heading, with the node; and those below, in a picture that stretches."""
    x, middle = _at(place.lane), HEADING / 2
    passing = place.before - {place.lane}
    above = [f"M{_at(line)} 0V{HEADING}" for line in sorted(passing)]
    above += [f"M{x} 0V{middle:g}"] if place.lane in place.before else []
    above += [f"M{x} {middle:g}V{HEADING}"] if place.parents else []
    below = [f"M{_at(line)} 0V100" for line in sorted(place.after & passing)]
    below += [
        f"M{x} 0V100" if line == place.lane else f"M{x} 0C{x} 60 {_at(line)} 40 {_at(line)} 100"
        for line in sorted(place.parents)
    ]
    tone = LOOKS[place.formula.arm][0]
    node = (
        f'<circle cx="{x}" cy="{middle:g}" r="{_RADIUS}" fill="var(--{tone})" '
        'stroke="var(--card)" stroke-width="2"/>'
    )
    return {
        "heading": _svg(width, HEADING, above, node),
        "below": _svg(width, 100, below, "") if below else "",
    }


def _svg(width: int, height: int, ways: Sequence[str], node: str) -> str:
    drawn = "".join(_way(way) for way in ways)
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f"{drawn}{node}</svg>"
    )


def _way(way: str) -> str:
    return (
        f'<path d="{way}" fill="none" stroke="var(--soft)" stroke-width="1.6" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _at(line: int) -> int:
    return LEFT + LANE * line


def _row(discovery: Discovery, formula: Formula, winner: Formula) -> dict[str, Any]:
    rung, score = last_score(formula, discovery.rungs)
    parents = " and ".join(_names(discovery, formula))
    if formula.arm == "registry":
        how = "from the registry"
    else:
        how = formula.operation.replace("_", " ") + (f" of {parents}" if parents else "")
    return {
        "name": formula.entry or f"{formula.number}",
        "tone": LOOKS[formula.arm][0],
        "how": how,
        "score": f"{formats.fixed(score)} on {discovery.rungs[rung]}" if rung >= 0 else "no score",
        "mathml": mathml_of(formula),
        "formula": formula.formula,
        "winner": formula.number == winner.number,
    }


def _names(discovery: Discovery, formula: Formula) -> Iterator[str]:
    """The parents, as their own rows name them."""
    for parent in discovery.parents(formula):
        yield parent.entry or f"{parent.number}"


def family_picture(discovery: Discovery, winner: Formula) -> Picture:
    """The same tree as one drawing, with formulas as text, for a document."""
    shown = places(discovery, ancestry(discovery, winner)[:MOST])
    lanes = max(max({place.lane} | place.before | place.after) for place in shown)
    with drawing(size=(WIDE[0], 0.3 + 0.55 * len(shown))) as (figure, axes):
        for row, place in enumerate(shown):
            for line in place.after & (place.before - {place.lane}):
                axes.plot([line, line], [row, row + 1], **_LINE)
            for line in place.parents:
                axes.plot([place.lane, line], [row, row + 1], **_LINE)
            tone = LOOKS[place.formula.arm][0]
            axes.scatter([place.lane], [row], s=52, color=colour(tone), zorder=3)
            about = _row(discovery, place.formula, winner)
            heading = f"{about['name']}  {about['how']}, {about['score']}"
            lines = ((heading, 4, "soft"), (_cut(place.formula.formula), -9, "ink"))
            for text, up, tone in lines:
                axes.annotate(
                    printable(text, lines=False), (lanes + 0.6, row), xytext=(0, up), fontsize=9.3,
                    textcoords="offset points", va="center", annotation_clip=False,
                    color=colour(tone),
                )  # fmt: skip
        axes.set(xlim=(-0.5, lanes + 28), ylim=(len(shown) - 0.4, -0.6))
        axes.axis("off")
    about_it = "The winner at the top, below it what it was made of; every line leads to a parent."
    return Picture("family", "Family tree", about_it, figure, wide=True)


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}\u2026"


def mathml_of(formula: Formula) -> str:
    """The formula for a browser; empty where the language does not read it."""
    try:
        return to_mathml(f"E = {Candidate.from_formula(formula.formula).latex}")
    except FormulaError:
        return ""
