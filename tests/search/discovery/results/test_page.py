from __future__ import annotations

import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from attenergy.analysis import landscape
from attenergy.registry import Registry
from attenergy.search.discovery.results import inside
from attenergy.search.discovery.results.discovery import (
    Ablated,
    Discovery,
    Finalist,
    Formula,
    Law,
    RungPrediction,
)
from attenergy.search.discovery.results.finding import judge
from attenergy.search.discovery.results.page import page, write_pictures
from attenergy.search.discovery.results.write import as_markdown, write_discovery
from tests.search.discovery.results.conftest import around, write_final

pytestmark = pytest.mark.long  # whole searches or processes

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

EVIL = "<script>alert(1)</script>&\"'\u202e`x`"


class Tags(HTMLParser):
    """The tags and ids of a page; a tag that is never closed is an error."""

    VOID = frozenset({"meta", "br", "input", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landscapes of few points, for time."""
    monkeypatch.setattr(inside, "landscape", partial(landscape, resolution=10))


@pytest.fixture
def folder(discovery: Discovery, known: Registry, tmp_path: Path) -> Path:
    scores = {"softmax": around(0.4), "lse": around(0.41), "discovered_5": around(0.5),
              "random_2": around(0.2)}  # fmt: skip
    write_final(tmp_path, "stacked-recall-small", scores, known)
    return tmp_path


def test_a_page_has_every_section(discovery: Discovery, folder: Path, known: Registry) -> None:
    text = page(folder, discovery, known)
    tags = Tags(text)
    sections = {"winner", "family", "ablation", "finals", "formulas", "control", "filters",
                "rungs", "repeat", "niches"}  # fmt: skip
    assert sections <= set(tags.ids)
    assert len(tags.ids) == len(set(tags.ids))
    assert set(re.findall(r'<a href="#([\w-]+)"', text)) <= set(tags.ids)
    assert "beats <code>softmax</code> by 0.100" in text
    assert "discovered_5 at beta 0.7071 with 5 stored patterns" in text
    assert "attenergy export finals/stacked-recall-small --trial discovered_5" in text
    assert text == page(folder, discovery, known)


def test_a_page_fetches_nothing(discovery: Discovery, folder: Path, known: Registry) -> None:
    text = page(folder, discovery, known)
    assert not re.search(r'(?:src|href|action)="(?!#)', text)
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_texts_of_others_are_no_markup(discovery: Discovery, folder: Path, known: Registry) -> None:
    population = tuple(
        Formula.model_validate(
            f.model_dump()
            | {"operation": EVIL, "nearest": EVIL, "scores": {EVIL: 0.1 * f.number, **f.scores}}
            | ({"formula": EVIL} if f.number in {3, 5} else {})
            | ({"entry": EVIL} if f.arm == "registry" else {})
        )
        for f in discovery.population
    )
    evil = Discovery(
        name="evil",
        tasks=discovery.tasks,
        rungs=(EVIL, *discovery.rungs),
        command=EVIL,
        machines=(EVIL,),
        population=population,
        rejected={EVIL: discovery.rejected["types"]},
        predictions=(RungPrediction(rung=EVIL, following=EVIL),),
        ablations=(
            Ablated(what=EVIL, formula=EVIL, scores={EVIL: 0.3}),
            Ablated(what=EVIL, formula=EVIL, reason=EVIL),
        ),
        laws=(Law(law=EVIL, note=EVIL),),
        finalists=(*discovery.finalists, Finalist(name=EVIL, role="registry")),
    )
    text = page(folder, evil, known)
    assert Tags(text).tags.count("script") == 1
    assert "\u202e" not in text


def test_little_is_a_page_too(known: Registry, tmp_path: Path) -> None:
    text = page(tmp_path, Discovery(name="empty", tasks=("mqar",)), known)
    Tags(text)
    assert "Nothing was discovered" in text
    assert 'id="winner"' not in text


def test_everything_is_written(discovery: Discovery, folder: Path, known: Registry) -> None:
    finding = write_discovery(discovery, folder, known)
    assert finding.verdict.kind == "beats"
    names = {path.name for path in folder.iterdir()}
    assert names == {"discovered.json", "discovered.yaml", "discovery.html", "finals"}
    text = as_markdown(folder, discovery)
    assert text.startswith("# made-up\n\n`discovered_5`, the best of 5 formulas")
    assert "| types" in text


def test_without_the_page_nothing_is_drawn(
    discovery: Discovery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attenergy.search.discovery.results.page.page", None)
    write_discovery(discovery, folder, with_page=False)
    assert not (folder / "discovery.html").exists()


def test_every_picture_is_a_file(discovery: Discovery, folder: Path, tmp_path: Path) -> None:
    names = {path.name for path in write_pictures(folder, discovery, tmp_path / "drawn")}
    assert names == {
        *("front-cost.png", "front-length.png", "progress.png", "progress-first.png"),
        *("niches.png", "rungs-0.png", "rungs-1.png", "ablation.png"),
        *("family.png", "finals-stacked-recall-small.png"),
    }


def test_a_formula_without_a_landscape_says_so(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    text = "|xi|^2 - exp(exp(exp(exp(|xi|^2 + 9)))) - sum_n(X @ xi)"
    population = [
        f.model_copy(update={"formula": text}) if f.number == 5 else f for f in discovery.population
    ]
    broken = discovery.model_copy(update={"population": tuple(population)})
    winner = judge(broken, ()).winner
    assert winner is not None
    assert winner.formula == text
    assert "No landscape is drawn of discovered_5" in page(tmp_path, broken, known)


def test_scores_far_below_chance_are_at_the_edge_of_pictures(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    low = discovery.by_number[3].model_copy(
        update={"scores": {"denoising": -40.0, "stacked-recall-small": -30.0, "mqar": -20.0}}
    )
    odd = discovery.by_number[2].model_copy(update={"cost": float("inf")})
    population = tuple({3: low, 2: odd}.get(f.number, f) for f in discovery.population)
    text = page(tmp_path, discovery.model_copy(update={"population": population}), known)
    assert "<title>discovered_3 -20.000: |xi|^2 - lse(beta*X @ xi)</title>" in text
