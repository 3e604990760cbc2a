"""Fair timing of two or more functions on a machine that others use too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table


def ratios(
    functions: Sequence[Callable[[], object]], rounds: int, seconds: float = 0.05
) -> list[float]:
    """Median over rounds of each function's CPU time divided by the first one's.

    In a round every function runs once in turn (A B C, A B C, ...), so what slows the machine for a
    while slows all of them. `seconds` is about how long one function runs in a round.
    """
    for function in functions:
        function()
    start = time.process_time()
    functions[0]()
    repeat = max(1, round(seconds / max(1e-6, time.process_time() - start)))
    by_round: list[list[float]] = []
    for _ in range(rounds):
        times = [_time(function, repeat) for function in functions]
        by_round.append([t / times[0] for t in times])
    return [statistics.median(column) for column in zip(*by_round, strict=True)]


def ratios_of_each(
    functions: Sequence[Callable[[], object]], rounds: int, seconds: float = 0.05
) -> list[float]:
    """As `ratios`, but every function runs about `seconds` in a round, however slow it is.

    So a function a hundred times slower than the first one runs once where that runs a hundred
    times.
    """
    once = []
    for function in functions:
        function()
        once.append(max(1e-6, min(_time(function, 1) for _ in range(2))))
    repeats = [max(1, round(seconds / one)) for one in once]
    by_round: list[list[float]] = []
    for _ in range(rounds):
        times = [_time(f, n) / n for f, n in zip(functions, repeats, strict=True)]
        by_round.append([t / times[0] for t in times])
    return [statistics.median(column) for column in zip(*by_round, strict=True)]


def _time(function: Callable[[], object], repeat: int) -> float:
    start = time.process_time()
    for _ in range(repeat):
        function()
    return time.process_time() - start


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{c:.2f}" if isinstance(c, float) else str(c) for c in row))
    Console().print(table)
