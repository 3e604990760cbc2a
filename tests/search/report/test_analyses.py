"""What a terminal shows of one analysis, and of several."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from attenergy.analysis.result import Table
from attenergy.analysis.saved import SavedPicture, SavedResult
from attenergy.search.report.analyses import Analysed, AnalysesScreen

PARTS = ("head", "step")


def analysed(*names: str) -> Analysed:
    results = [
        SavedResult(
            folder=Path("runs/tiny"),
            name=name,
            title=name.title(),
            sentence=f"What {name} says.",
            notes=["how to read it"],
            numbers={},
            tables=[
                Table(f"By {part}", (part, "score"), [("a", "0.5")]) for part in ("head", "step")
            ],
            pictures=[SavedPicture(name=f"{name}-bars", title="Bars", about="")],
            about={},
        )
        for name in names
    ]
    return Analysed("lse", ["a model"], results, [("maps", "no labels")])


def shown(screen: AnalysesScreen) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(screen)
    return capture.get()


def test_of_several_the_sentences_come_first_and_tables_are_named() -> None:
    page = Path("runs/tiny/analyses.html")
    text = shown(AnalysesScreen([analysed("laws", "paths")], page=page))
    assert [line.rstrip() for line in text.splitlines()] == [
        *("Laws", "What laws says.", "", "Paths", "What paths says.", ""),
        *("analysis its tables", "laws     By head; By step", "paths    By head; By step"),
        f"tables and pictures: {page}",
        "tables here: --all, or name an analysis after the model",
        "maps: not done for lse: no labels",
    ]


def test_one_alone_is_shown_whole_and_so_are_all_without_a_page() -> None:
    for screen in (
        AnalysesScreen([analysed("laws")], page=Path("analyses.html")),
        AnalysesScreen([analysed("laws", "paths")]),
    ):
        text = shown(screen)
        assert "laws-bars.png" in text
        assert "By head" in text
        assert "0.5" in text
        assert "--all" not in text
