"""The page as a whole: complete, self-contained, safe for any name, for any size of study."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from attenergy.registry import PluginNeed, UnknownName, load_registry
from attenergy.search.comparison.compare import ComparePlan
from attenergy.search.comparison.multi_task import (
    comparisons_of_tasks,
    run_multi_task,
    write_matrix,
)
from attenergy.search.report.html import tables
from attenergy.search.report.html.build import matrix_page, page, write_pictures
from attenergy.search.report.html.study_view import MOST_SERIES, View
from attenergy.search.report.text import multi_task_as_json, multi_task_as_markdown
from attenergy.search.results.study_folder import NoRuns, find_study, read_study
from attenergy.search.results.task_table import read_matrix
from attenergy.search.runs.events import Listener
from attenergy.search.runs.plugin_needs import write_needs

pytestmark = pytest.mark.long  # whole searches or processes

EVIL = "<script>alert('x')</script>"
_VOID = {"meta", "br", "img", "input", "hr", "link", "path", "use", "rect"}


class Outline(HTMLParser):
    """Checks that every element is closed, and collects names, ids and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = {name: value or "" for name, value in attrs}
        self.handlers += [name for name in values if name.startswith("on")]
        self.ids += [values["id"]] if "id" in values else []
        names = ("src", "href", "xlink:href", "action")
        self.addresses += [values[name] for name in names if name in values]


def check(text: str) -> Outline:
    outline = Outline(text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert not re.search(r"innerHTML|eval\(|fetch\(|XMLHttp|import\(|document\.write", script)
    assert outline.handlers == []
    assert "link" not in outline.tags
    assert len(outline.ids) == len(set(outline.ids))
    assert all(a.startswith("#") and a[1:] in outline.ids for a in outline.addresses)
    assert "default-src 'none'" in text
    outside = re.findall(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)
    assert outside == []
    return outline


@pytest.fixture(scope="module")
def real_page(finished_study: Path) -> str:
    return page(read_study(finished_study))


def test_a_real_study_has_every_section(real_page: str, finished_study: Path) -> None:
    outline = check(real_page)
    sections = ("leaderboard", "curves", "costs", "quantities", "energies", "repeat")
    assert set(sections) <= set(outline.ids)
    assert {"svg", "math", "table", "details"} <= outline.tags
    assert "attenergy search " in real_page
    assert "--study tiny --task stacked-recall" in real_page
    assert "attenergy replay tiny" in real_page
    study = read_study(finished_study)
    assert all(record.key in real_page for record in study.records)
    assert str(finished_study.parent) not in real_page


def test_the_pictures_are_written_as_png(finished_study: Path, tmp_path: Path) -> None:
    written = write_pictures(finished_study, tmp_path / "pictures")
    assert {"curves.png", "loss.png"} <= {path.name for path in written}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_names_and_reasons_cannot_break_the_page(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    curve = [{"step": 1.0, "loss": 1.0, "accuracy": 0.5}]
    records = [
        make_record(EVIL, (0.5, 0.5), task=EVIL, note=EVIL).model_copy(update={"curve": curve}),
        make_record("$x_$ & \"'", (0.4,), task=EVIL),
        make_record("lse", task=EVIL, status="failed", reason=EVIL),
    ]
    text = page(one_study(tmp_path / EVIL.replace("/", "|"), records))  # type: ignore[arg-type]
    check(text)
    assert text.count("<script") == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)" in text


def test_one_record_is_enough(one_study: Any, make_record: Any, tmp_path: Path) -> None:
    text = page(one_study(tmp_path, [make_record("lse", (0.5,))]))  # type: ignore[arg-type]
    check(text)
    assert "Importances need 12 trials" in text
    assert "Trials of one seed decide nothing" in text


def test_a_study_without_any_score_says_why(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    records = [
        make_record("lse", status="diverged", reason="training loss nan", seed=seed)
        for seed in range(3)
    ] + [make_record("rbm", status="pruned", reason="below the median")]
    study = one_study(tmp_path, records)
    text = page(study)  # type: ignore[arg-type]
    outline = check(text)
    assert ">no verdict</span>" in text
    assert "curves" not in outline.ids
    first, second = tables.lost(View(study))  # type: ignore[arg-type]
    assert (first["status"], first["reason"], len(first["runs"])) == (
        "diverged",
        "training loss nan",
        3,
    )
    assert second["status"] == "pruned"


def test_hundreds_of_trials_fit(one_study: Any, make_record: Any, tmp_path: Path) -> None:
    records = [
        make_record(f"v{n % 20}", (0.2 + 0.001 * n, 0.2), rate=1e-3 + 1e-5 * n, beta=1.0 + n)
        for n in range(120)
    ]
    text = page(one_study(tmp_path, records))  # type: ignore[arg-type]
    outline = check(text)
    assert {"quantities", "profiles", "repeat"} <= set(outline.ids)
    assert "110 more trials" in text
    assert "All 120 runs" in text
    assert len(text) < 2_000_000


def test_at_most_eight_series_and_the_baseline_among_them(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    names = [*(f"v{n}" for n in range(12)), "softmax"]
    records = [make_record(name, (0.9 - 0.01 * n,)) for n, name in enumerate(names)]
    leaders = View(one_study(tmp_path, records)).leaders  # type: ignore[arg-type]
    assert len(leaders) == MOST_SERIES
    assert leaders[-1].variant == "softmax"
    assert leaders[0].variant == "v0"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real comparison of two variants on two tasks, of a few steps."""
    folder = tmp_path_factory.mktemp("runs") / "both"
    plan = ComparePlan(
        name="both",
        folder=str(folder),
        task="stacked-recall",
        variants=("softmax", "lse"),
        seeds=2,
        steps=2,
        workers=0,
        fix={"valid_instances": 32, "test_instances": 32},
    )
    registry = load_registry()
    parts = comparisons_of_tasks(registry, ("stacked-recall", "fuzzy-logic-small"))

    class Quiet(Listener):
        def __enter__(self) -> Quiet:
            return self

        def __exit__(self, *_: object) -> None:
            return

    write_matrix(run_multi_task(plan, parts, registry, lambda _: Quiet()), folder)
    return folder


@pytest.fixture(scope="module")
def several(comparison: Path) -> str:
    return matrix_page(comparison)


def test_a_comparison_of_several_tasks_is_one_page(several: str, comparison: Path) -> None:
    assert find_study("both", comparison.parent) == comparison
    outline = check(several)
    assert {"matrix", "stacked-recall", "fuzzy-logic-small", "repeat"} <= set(outline.ids)
    assert "--task stacked-recall,fuzzy-logic-small" in several


def test_the_page_of_several_tasks_names_their_plugins(comparison: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(comparison, tmp_path / "both")
    need = PluginNeed(name="a-package", version="1", module="a_module")
    for part in ("stacked-recall", "fuzzy-logic-small"):
        write_needs(folder / part, [need])
    assert "attenergy --plugin a_module compare" in matrix_page(folder)


def test_a_variant_has_one_colour_on_the_whole_page(several: str) -> None:
    colours = re.findall(r'var\(--([\w-]+)\)"></i><span class="name">([^<]+)', several)
    assert {name for _, name in colours} == {"softmax", "lse"}
    assert len(set(colours)) == 2


@pytest.mark.slow
def test_pages_do_not_depend_on_the_moment_and_parts_have_their_pictures(
    several: str, comparison: Path, tmp_path: Path
) -> None:
    assert matrix_page(comparison) == several
    names = {p.relative_to(tmp_path).as_posix() for p in write_pictures(comparison, tmp_path)}
    assert {"profile.png", "stacked-recall/curves.png"} <= names


def test_a_damaged_matrix_is_said(comparison: Path, tmp_path: Path) -> None:
    assert read_matrix(comparison).variants == ("softmax", "lse")
    (tmp_path / "matrix.json").write_text(json.dumps({"title": 1}))
    with pytest.raises(ValueError, match=r"matrix\.json: cannot be read as a matrix"):
        read_matrix(tmp_path)


def test_a_comparison_of_several_tasks_as_text_has_every_task(comparison: Path) -> None:
    text = multi_task_as_markdown(comparison)
    for heading in ("# both", "# stacked-recall: accuracy", "## Interquartile mean", "## Plan"):
        assert heading in text
    data = json.loads(multi_task_as_json(comparison))
    assert set(data["studies"]) == {"stacked-recall", "fuzzy-logic-small"}
    assert len(data["studies"]["stacked-recall"]["records"]) == 4
    assert set(data["mean_ranks"]) == {"softmax", "lse"}
    assert data["verdict"]["sentence"] in text


def test_one_of_several_comparisons_has_to_be_named(comparison: Path) -> None:
    with pytest.raises(NoRuns, match="name one of them: both/stacked-recall, both/fuzzy"):
        read_study(comparison)
    assert read_study(find_study("both/stacked-recall", comparison.parent)).records


def test_an_unknown_study_names_comparisons_once(comparison: Path) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'both'") as caught:
        find_study("bth", comparison.parent)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2, "one line for all comparisons of a folder"
    assert lines[1].split()[0] == "both"
