"""How numbers, settings and tables look in every table and page of the toolkit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attenergy.registry import Scalar, as_written
from attenergy.registry.printable import markdown, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from attenergy.search.results.statistics import Interval
    from attenergy.search.runs.config import RunConfig

NOTHING = "-"
_UNEVEN = 1e-3  # halves of an interval that differ by less are shown as equal


def models(configs: Iterable[RunConfig]) -> list[str]:
    """The users' own models of some runs, each once, in a line."""
    return list(dict.fromkeys(c.own_model.shown for c in configs if c.own_model is not None))


def score(value: Interval | None) -> str:
    """`0.912±.013`: a mean and half of its interval; the mean alone for one value.

    An interval that ends at a bound of the metric has two halves: `0.983 [.942,1]`.
    """
    if value is None:
        return NOTHING
    if value.low is None or value.high is None:
        return f"{value.mean:.3f}"
    if abs(value.high + value.low - 2 * value.mean) > _UNEVEN:
        return f"{value.mean:.3f} [{_end(value.low)},{_end(value.high)}]"
    return f"{value.mean:.3f}±{_without_zero((value.high - value.low) / 2)}"


def estimate(value: float, error: float) -> str:
    """`0.928±.001`: a number and its error; an exact one has no error."""
    return f"{value:.3f}±{_without_zero(error)}" if error > 0 else f"{value:.3f}"


def difference(value: Interval | None) -> str:
    """`+0.021±.017`: a signed mean and half of its interval."""
    if value is None:
        return NOTHING
    text = score(value)
    return text if text.startswith("-") else f"+{text}"


def p_value(value: float | None) -> str:
    """`.031`, or `<.001`."""
    if value is None:
        return NOTHING
    return "<.001" if value < 0.001 else _without_zero(value)


def count(value: float | None) -> str:
    """`945`, `12.3k`, `590k`, `1.2M`: a count in at most five characters."""
    if value is None:
        return NOTHING
    for unit in ("", "k", "M", "G"):
        if abs(value) < 999.5:
            return f"{value:.0f}{unit}" if not unit or abs(value) >= 99.95 else f"{value:.1f}{unit}"
        value /= 1000
    return f"{value:.3g}T"


def tick(value: float) -> str:
    """`0.5`, `20`, `5k`, `2M`: a round number beside an axis."""
    return f"{value:.2g}" if abs(value) < 10 else count(value).replace(".0", "")


def number(value: float | None) -> str:
    """Three significant digits without an exponent where that is short."""
    return NOTHING if value is None else f"{value:.3g}"


def fixed(value: float, digits: int = 3, sign: str = "") -> str:
    """`0.731`: so many digits after the point; from a million on an exponent, `1.2e+300`."""
    return f"{value:{sign}.{digits}f}" if abs(value) < 1e6 else f"{value:{sign}.3g}"


def signed(value: float) -> str:
    """A difference with its sign: `+0.012`, `-0.240`, and what rounds to 0 as `+0.000`."""
    return fixed(round(value, 3) + 0.0, sign="+")


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def listed(numbers: Sequence[int]) -> str:
    """`1, 2, 4`; four or more that follow one another as `1 to 8`."""
    if len(numbers) > 3 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def duration(seconds: float) -> str:
    """`0:42`, `12:05`, `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def rough_time(seconds: float | None) -> str:
    """`35 s`, `8 min`, `14 h`, `3 days`: a time in its largest unit, rounded."""
    if seconds is None:
        return NOTHING
    for unit, length, limit in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds / length < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


class Pause(int):
    """The training step at which a run paused, which reads as words in a table.

    Example:
        >>> settings({"heads": 4, "pause": Pause(200, 1600)})
        'heads=4 paused at step 200 of 1600'
    """

    def __new__(cls, step: int, steps: int = 0) -> Pause:
        """Take the step, and the steps that the whole run has."""
        pause = super().__new__(cls, step)
        pause.steps = steps
        return pause

    steps: int

    @property
    def words(self) -> str:
        """As a reader sees it."""
        return f"paused at step {int(self)} of {self.steps}"


def settings(values: dict[str, Any]) -> str:
    """`beta=0.354 steps=2`, or `defaults` when nothing is set."""
    if not values:
        return "defaults"
    return " ".join(
        value.words
        if isinstance(value, Pause)
        else f"{name}={number(value) if isinstance(value, float) else value}"
        for name, value in values.items()
    )


def value(of: Scalar) -> str:
    """`64`, `1500`, `64k`, `1M`, `0.3`, `true`: a value that was gone through, exactly."""
    if isinstance(of, int) and not isinstance(of, bool) and of >= 1000 and not of % 1000:
        return f"{of // 1_000_000}M" if not of % 1_000_000 else f"{of // 1000}k"
    return f"{of:g}" if isinstance(of, float) and float(f"{of:g}") == of else as_written(of)


def point(values: Mapping[str, Scalar]) -> str:
    """`layers 2, width 64`: one point of a sweep."""
    return ", ".join(f"{name} {value(each)}" for name, each in values.items())


def split(name: str) -> str:
    """A split as every output names it: `iid` for `test`, as it stands beside `ood`.

    Records, and the options of a task, say `test`.
    """
    return "iid" if name == "test" else name


def version(text: str) -> str:
    """A version; a plug-in that was named, not installed, may have none."""
    return text or "unversioned"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that its source reads well too."""
    cells = [[markdown(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def rich_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> Table:
    """A terminal table without lines; the first `left` columns are words, the others numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index, title in enumerate(header):
        table.add_column(
            plain_text(title), justify="left" if index < left else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(plain_text, row))
    return table


def plain_text(text: str, style: str = "") -> Text:
    """Text, not markup: an energy's title may hold square brackets."""
    from rich.text import Text

    return Text(printable(text), style=style)


def rich_list(texts: Sequence[str]) -> Table:
    """A list for the terminal, whose longer items stand below their beginnings."""
    table = rich_table(("", ""), [["-", text] for text in texts], left=2)
    table.show_header = False
    return table


def _end(value: float) -> str:
    """`.942`, `1`, `-.2`: an end of an interval."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _without_zero(value: float) -> str:
    text = f"{value:.3f}"
    return text.removeprefix("0") if text.startswith("0.") else text
