"""Lines of cells below each other, with one column of small bars that takes what is left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attenergy.registry.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

    #: Of a table: a text, or the share of a bar that is filled (None for no bar).
    Cell = Text | float | None

_BAR, _LEAST_BAR = 12, 5  # columns of a bar
_NAME = 24  # columns of words; longer ones are cut
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Look:
    """What the terminal can show."""

    width: int
    ascii_only: bool = False


def cell(text: str, style: str = "") -> Text:
    """A text in one line. Not markup: an energy's title may hold square brackets."""
    from rich.text import Text

    return Text(printable(text, lines=False), style=style, no_wrap=True, overflow="ellipsis")


def cut(text: str, room: int) -> str:
    """A text of at most `room` characters."""
    return text if len(text) <= room else f"{text[: max(0, room - 3)].rstrip()}..."


def aligned(
    table: Sequence[Sequence[Cell]],
    look: Look,
    *,
    words: Collection[int],
    widest_bar: int = _BAR,
) -> list[Text]:
    """The lines of a table; a line may end early.

    Args:
        table: its lines, each of cells; in one column at most, some are shares instead of texts.
        look: of the terminal.
        words: the columns that begin at their left edge and may be cut; numbers end at the right.
        widest_bar: columns of the bars, if the others leave so many; below five there are none.
    """
    columns = max(map(len, table))
    bars = next((i for line in table for i, c in enumerate(line) if isinstance(c, float)), None)
    widths = [0] * columns
    for line in table:
        for place, one in enumerate(line):
            if one is not None and not isinstance(one, float):
                if place in words:
                    one.truncate(_NAME, overflow="ellipsis")
                widths[place] = max(widths[place], one.cell_len)
    if bars is not None:
        widths[bars] = 0
        left = look.width - sum(widths) - columns + 1
        widths[bars] = min(widest_bar, left) if left >= _LEAST_BAR else 0
    shown = [place for place in range(columns) if widths[place] or place != bars]
    return [_line(line, shown, widths, words, look) for line in table]


def _line(
    line: Sequence[Cell],
    shown: Sequence[int],
    widths: Sequence[int],
    words: Collection[int],
    look: Look,
) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for place in (p for p in shown if p < len(line)):
        one = line[place]
        text.append(" " if text.plain else "")
        if isinstance(one, float):
            text.append(_bar(one, widths[place], look), "cyan")
            continue
        one = one or Text()
        room = " " * max(0, widths[place] - one.cell_len)
        text.append_text(one).append(room) if place in words else text.append(room).append_text(one)
    return text


def _bar(share: float, width: int, look: Look) -> str:
    if look.ascii_only:
        return ("#" * round(share * width)).ljust(width, ".")
    whole, eighth = divmod(round(share * width * 8), 8)
    return ("█" * whole + (_EIGHTHS[eighth] if eighth else "")).ljust(width, "·")
