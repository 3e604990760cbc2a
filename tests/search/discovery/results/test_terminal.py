from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from attenergy.registry import Registry
from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.finding import judge, read_finals
from attenergy.search.discovery.results.terminal import DiscoveryScreen
from tests.search.discovery.results.conftest import around, write_final


def printed(discovery: Discovery, folder: Path, width: int, *, explain: bool = False) -> str:
    file = io.StringIO()
    finding = judge(discovery, read_finals(folder, discovery))
    Console(file=file, width=width).print(DiscoveryScreen(discovery, finding, explain))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_number_is_cut(
    discovery: Discovery, tmp_path: Path, known: Registry, width: int
) -> None:
    scores = {"softmax": around(0.4), "discovered_5": around(0.5), "random_2": around(0.2)}
    write_final(tmp_path, "stacked-recall-small", scores, known)
    text = printed(discovery, tmp_path, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for part in ("0.700", "0.800", "0.600", "1.20", "lse", "0.21", "+0.100", "beats", "62%"):
        assert part in text
    assert "…" not in text
    assert lines[0].startswith(" BEATS ")


def test_formulas_stand_below_their_numbers(discovery: Discovery, tmp_path: Path) -> None:
    lines = printed(discovery, tmp_path, 100).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("discovered_5 "))
    assert lines[place + 1].startswith("   0.5*|xi|^2 - lse(")
    # The best of both controls are there, whatever their rank.
    assert any(line.startswith("random_2") for line in lines)
    assert any(line.startswith("lse ") for line in lines)


def test_how_to_read_it_is_said_when_asked(discovery: Discovery, tmp_path: Path) -> None:
    assert "how to read this: --explain" in printed(discovery, tmp_path, 80)
    assert "Spearman's" in printed(discovery, tmp_path, 80, explain=True)


def test_many_rungs_have_numbers_and_a_line_that_names_them(
    discovery: Discovery, tmp_path: Path
) -> None:
    rungs = ("denoising", "stacked-recall@375", "stacked-recall", "raven-small@400", "raven-small")
    scores = {rung: 0.125 * place for place, rung in enumerate(rungs, start=1)}
    best = discovery.by_number[5].model_copy(update={"scores": scores})
    population = tuple(best if f.number == 5 else f for f in discovery.population)
    longer = discovery.model_copy(update={"population": population, "rungs": rungs})
    text = printed(longer, tmp_path, 80)
    line = next(line for line in text.splitlines() if line.startswith("discovered_5 "))
    assert line.split()[1:6] == ["0.125", "0.250", "0.375", "0.500", "0.625"]
    assert line.endswith("0.21")
    assert "rung 1: denoising; rung 2: stacked-recall@375; rung 3: stacked-recall; rung 4:" in text
    assert max(map(len, text.splitlines())) <= 80
