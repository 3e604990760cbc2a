"""The end of a search on a terminal: the verdict, finalists, trials apart, and what was lost."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from attenergy.registry.printable import printable
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.report.columns import Look, aligned, cell, cut
from attenergy.search.results import formats
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.pareto import BEYOND, front_cells, limit_notes
from attenergy.search.results.ranking import Row
from attenergy.search.results.solving import count_solved, solved_from
from attenergy.search.results.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

    from attenergy.search.report.columns import Cell

#: Kind of a verdict, or call of a row -> the word for it and its colour.
CALLS = {
    "beats": ("beats", "green"),
    "loses": ("loses", "red"),
    "undecided": ("undecided", "yellow"),
    "unlearned": ("nobody learned", "magenta"),
    "none": ("no verdict", "dim"),
}
_MOST_TRIALS = 5  # below the finalists
_TRIAL_BAR = 8  # columns, so that settings have room


@dataclass(frozen=True)
class Screen:
    """A leaderboard as a terminal of any width shows it; from 80 columns on no number is cut.

    Args:
        board: the leaderboard.
        explain: print how to read it, too.
    """

    board: Leaderboard
    explain: bool = False

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The parts, one below the other."""
        board, look = self.board, Look(options.max_width, options.ascii_only)
        yield from lines_of(board.verdict, options.max_width)
        finals = [row for row in board.rows if row.final]
        trials = [row for row in board.rows if not row.final]
        heading = f"{board.task}: {board.metric}"
        if finals:
            yield from _title(heading, f"finalists, {_seeds(finals)}")
            yield from _finalists(board, finals, look)
        if trials:
            shown = trials[:_MOST_TRIALS]
            best = f"the best {len(shown)} of {len(trials)}, " if len(shown) < len(trials) else ""
            yield from _title("trials" if finals else f"{heading}, trials", f"{best}one seed each")
            yield from _trials(board, shown, look)
        yield from _front(board, look)
        yield from _limits(board, look)
        yield from _lost(board, look)
        yield cell("")
        if self.explain:
            # The baseline is named in its line, not marked by a star.
            yield formats.rich_list([n for n in board.notes if not n.startswith("*")])
        else:
            yield cell("how to read this: --explain", "dim")


def badge(said: Verdict) -> str:
    """A verdict in a word or two: `undecided`, or who it is that beats or loses."""
    names = [row.variant for row in said.rows if row.call == said.kind]
    if said.kind not in ("beats", "loses") or not names:
        return CALLS[said.kind][0]
    return f"{names[0]} {said.kind}" if len(names) == 1 else f"{len(names)} {said.kind[:-1]}"


def lines_of(said: Verdict, width: int) -> Iterator[Text]:
    """The coloured word and the sentence; below, the command that would help."""
    from rich.text import Text

    style = CALLS[said.kind][1]
    text = Text.assemble((f" {badge(said).upper()} ", f"reverse bold {style}"), "  ")
    for position, part in enumerate(printable(said.sentence, lines=False).split("`")):
        text.append(part, style="bold" if position % 2 else "")
    yield text
    for line in shell_lines(printable(said.command), width):
        yield cell(line, "cyan")


def shell_lines(command: str, width: int) -> list[str]:
    r"""A command in lines of at most `width` that a shell reads as one, if its words are no longer.

    Example:
        >>> shell_lines("attenergy search --task mil", 20)
        ['attenergy search \\', '--task mil']
    """
    lines: list[str] = []
    for word in map(shlex.quote, shlex.split(command)):
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _title(text: str, about: str) -> Iterator[Text]:
    from rich.text import Text

    yield Text("")
    yield Text.assemble((printable(text), "bold"), (f"  {about}", "dim"))


def _finalists(board: Leaderboard, rows: Sequence[Row], look: Look) -> Iterator[Text]:
    """One line of numbers for each, and one of its settings; then ceiling and chance."""
    from rich.text import Text

    least = _solved_from(board, rows)
    calls = {each.rank: each for each in board.verdict.rows}
    header = ["#", "variant", "", *board.columns, "seeds" if least is None else "solved"]
    header += [f"- {board.baseline}", ""] if calls else []
    table: list[list[Cell]] = [[cell(title, "bold") for title in header]]
    for row in rows:
        line: list[Cell] = [cell(f"{row.rank}"), cell(_name(row), "bold"), _share(board, row)]
        line += [_score(row, column, spread=least is None) for column in board.columns]
        line.append(cell(row.seeds_shown if least is None else _solved(row, least)))
        if calls:
            word, style = CALLS[calls[row.rank].call] if row.rank in calls else ("", "dim")
            line.append(_number(formats.signed(calls[row.rank].difference) if word else "", style))
            line.append(cell(word or ("baseline" if row.baseline else ""), style))
        table.append(line)
    for name, cells in _references(board):
        table.append([cell(""), cell(name, "dim"), cell(""), *cells])
    head, *lines = aligned(table, look, words=(1, len(header) - 1) if calls else (1,))
    yield head
    for row, text in zip(rows, lines, strict=False):
        yield text
        about = formats.settings(row.settings)
        seeds = " ".join(f"{value:.3f}" for value in row.values.get("valid", {}).values())
        about = cut(about if least is None else f"{seeds}; {about}", look.width - 3)
        yield Text("   ").append_text(cell(about, "dim"))
    yield from lines[len(rows) :]


def _trials(board: Leaderboard, rows: Sequence[Row], look: Look) -> Iterator[Text]:
    """One line for each: its scores, and of its settings what there is room for."""
    header = ["#", "variant", "", *board.columns]
    table: list[list[Cell]] = [[cell(title, "bold") for title in header]]
    for row in rows:
        scores = [_score(row, column, spread=False) for column in board.columns]
        table.append([cell(f"{row.rank}"), cell(_name(row)), _share(board, row), *scores])
    head, *lines = aligned(table, look, words=(1,), widest_bar=_TRIAL_BAR)
    yield head
    for row, text in zip(rows, lines, strict=True):
        yield _with_settings(text, row.settings, look)


def _front(board: Leaderboard, look: Look) -> Iterator[Text]:
    """With several objectives, the configurations that no other beats in all of them."""
    if not board.front:
        return
    header, rows = front_cells(board.front, with_settings=False)
    yield from _title(f"front of {', '.join(header[2:-1])}", "no other is better in all of them")
    table: list[list[Cell]] = [[cell(title, "bold") for title in header]]
    table += [[cell(text) for text in row] for row in rows]
    head, *lines = aligned(table, look, words=(1,))
    yield head
    for point, text in zip(board.front, lines, strict=True):
        yield _with_settings(text, point.settings, look)


def _limits(board: Leaderboard, look: Look) -> Iterator[Text]:
    """The limits of cost, and what is beyond them."""
    limits = CostLimits(board.cost_limits)
    for number, note in enumerate(limit_notes(board.rows, limits, board.untrained)):
        if not number:
            yield cell("")
        yield from (cell(line, "dim") for line in wrap(note, look.width))


def _name(row: Row) -> str:
    return row.variant + (BEYOND if row.beyond else "")


def _with_settings(text: Text, settings: dict[str, Any], look: Look) -> Text:
    """A line, and of settings what there is room for."""
    room = look.width - text.cell_len - 2
    return text.append(f"  {printable(cut(formats.settings(settings), room))}", "dim")


def _references(board: Leaderboard) -> Iterator[tuple[str, list[Cell]]]:
    values = [board.ceiling.get(column) for column in board.columns]
    if any(values):
        texts = [formats.estimate(v["value"], v["error"]) if v else "" for v in values]
        yield "ceiling", [_number(text, "dim") for text in texts]
    if board.chance is not None:
        yield "chance", [_number(f"{board.chance:.3f}", "dim") for _ in board.columns]


def _lost(board: Leaderboard, look: Look) -> Iterator[Text]:
    """Runs without a score: a line for each way in which they ended, with the usual reason."""
    if board.failures:
        yield cell("")
    for status, number in Counter(f.status for f in board.failures).most_common():
        reasons = Counter(f.reason for f in board.failures if f.status == status)
        text = f"{formats.counted(number, 'run')} {status}: {reasons.most_common(1)[0][0]}"
        yield cell(cut(text, look.width), "yellow" if status == "pruned" else "red")


def _seeds(rows: Sequence[Row]) -> str:
    """`3 seeds each`, or `3 to 11 seeds` where some were given more than others."""
    fewest, most = min(row.tried for row in rows), max(row.tried for row in rows)
    return (
        f"{formats.counted(most, 'seed')} each" if fewest == most else f"{fewest} to {most} seeds"
    )


def _score(row: Row, column: str, *, spread: bool) -> Text:
    value = row.scores.get(column)
    return _number(formats.score(value) if value is None or spread else f"{value.mean:.3f}")


def _number(text: str, style: str = "") -> Text:
    """`.531±.017`: without the zeros that all scores share, for want of room."""
    return cell(re.sub(r"(?<![\d.])0\.", ".", text), style)


def _share(board: Leaderboard, row: Row) -> float | None:
    """Where a validation score lies between chance (0) and ceiling (1)."""
    score, ceiling = row.scores.get("valid"), board.ceiling.get("valid")
    low, high = board.chance or 0.0, 1.0 if ceiling is None else ceiling["value"]
    if score is None or high <= low:
        return None
    return min(1.0, max(0.0, (score.mean - low) / (high - low)))


def _solved_from(board: Leaderboard, rows: Sequence[Row]) -> float | None:
    scores = [score for row in rows for score in row.values.get("valid", {}).values()]
    ceiling = board.ceiling.get("valid")
    return solved_from(scores, board.chance, None if ceiling is None else ceiling["value"])


def _solved(row: Row, least: float) -> str:
    return f"{count_solved(row.values.get('valid', {}).values(), least)} of {row.tried}"
