"""Names and texts of somebody else in Markdown, in pages and on a terminal: seen, and inert."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from attenergy.registry import EnergySpec
from attenergy.registry.printable import markdown, markdown_code, markdown_json, printable
from attenergy.search.artifacts.model_card import model_card
from attenergy.search.artifacts.replay import Replay
from attenergy.search.display.plain import PlainListener
from attenergy.search.report.over_tasks import TasksScreen
from attenergy.search.report.terminal import Screen
from attenergy.search.report.text import as_json, as_markdown
from attenergy.search.results import formats
from attenergy.search.results.leaderboard import leaderboard
from attenergy.search.results.statistics import Interval
from attenergy.search.results.study_folder import Study
from attenergy.search.results.task_table import Column, Matrix
from attenergy.search.runs.config import RunRecord
from attenergy.tasks import make_task

UNSEEN = [*map(chr, range(9)), *map(chr, range(0xB, 0x20)), *map(chr, range(0x7F, 0xA0))]
UNSEEN += ["\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\ud800", "\udfff", "\U000e0041"]
EVIL = (
    "<script>alert(1)</script> <img src=x onerror=y> [a](javascript:b) ![c][d] [e]: http://f\n"
    "# heading\n```\n| cell | &lt; &#60; ` tick ` \x1b[31mred\x1b[0m "
    "\x07\x00\x9b\u202e\u2066 {{x}} \\"
)


def inert(text: str, where: str) -> None:
    """Nothing of `EVIL` can act in a text."""
    for character in UNSEEN:
        assert character not in text, (where, ascii(character))
    own = 1 if where.endswith(".html") else 0  # a page has a script, ours
    assert text.count("<script") == own, where
    assert "<img" not in text, where
    if where.endswith(".html"):
        return
    assert not re.search(r"^# heading", text, re.MULTILINE), where
    assert text.count("\n```") % 2 == 0, where


def evil_records(make_record: Any) -> list[RunRecord]:
    records = []
    for seed in (1, 2):
        for variant in (EVIL, "lse"):
            record = make_record(variant, (0.5, 0.5, 0.5), seed=seed, purpose="final", s=EVIL)
            spec = EnergySpec(
                title=EVIL, reference=EVIL, doc=EVIL, formula="0.5*|xi|^2 - lse(X@xi)"
            )
            texts = {"title": EVIL, "reference": EVIL, "class_": "StackedRecall"}
            task = record.config.task_spec.model_copy(update=texts)
            update = {"layer": spec, "task_spec": task, "task": EVIL}
            config = record.config.model_copy(update=update)
            update = {"config": config, "versions": {EVIL: EVIL}, "machine": {EVIL: EVIL}}
            records.append(record.model_copy(update={**update, "key": f"{variant}{seed}"}))
    failed = {"status": "failed", "reason": EVIL, "metrics": {}, "key": EVIL}
    return [*records, records[0].model_copy(update=failed)]


@pytest.mark.parametrize("character", UNSEEN, ids=ascii)
def test_every_character_can_be_seen(character: str) -> None:
    shown = printable(f"a{character}b")
    assert shown.isprintable()
    assert len(shown) > 3
    shown.encode()


def test_markdown_shows_a_text_and_is_nothing_else() -> None:
    assert markdown("a|b <b> `c` [d](e)") == "a\\|b &lt;b> \\`c\\` [d]\\(e)"
    assert markdown("a `b`", code=True) == "a `b`"
    assert markdown("0.5 [0.4, 0.6]") == "0.5 [0.4, 0.6]"
    assert markdown("AT&T &amp;") == "AT&T &amp;amp;"
    assert markdown_code("x*y") == "`x*y`"
    assert markdown_code("a`b<c") == "<code>a`b&lt;c</code>"
    block = markdown_json(json.dumps({"a": "```<b>"}))
    assert "<" not in block
    assert json.loads(block.removeprefix("```json\n").removesuffix("\n```")) == {"a": "```<b>"}
    inert(markdown(EVIL), "markdown")
    inert(markdown_code(EVIL), "code")


def test_tables_pages_and_cards(make_record: Any, tmp_path: Path) -> None:
    records = evil_records(make_record)
    task = make_task("stacked-recall", vocabulary=16, pairs=4)
    study = Study(tmp_path / "study", None, records, task)
    board = leaderboard(records, task, baseline=EVIL)
    inert(board.markdown(), "leaderboard.md")
    inert(as_markdown(study), "report.md")
    inert(model_card(records[0], task, EVIL, board, ""), "README.md")
    assert json.loads(as_json(study))["records"][0]["config"]["variant"] == EVIL
    scores = {EVIL: Interval(0.5, 0.4, 0.6, 3)}
    column = Column("a", EVIL, EVIL, EVIL, 0.1, 1.0, scores, {"lse": EVIL})
    matrix = Matrix(EVIL, (EVIL, "lse"), (column,))
    inert(matrix.markdown(), "matrix.md")
    for table in (
        Screen(board),
        Screen(board, explain=True),
        TasksScreen(matrix, {}, True),
        formats.rich_table([EVIL], [[EVIL]]),
    ):
        stream = io.StringIO()
        Console(file=stream, width=200, color_system=None).print(table)
        for character in UNSEEN:
            assert character not in stream.getvalue().replace("\r", ""), ascii(character)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_html_page(make_record: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from attenergy.search.report.html.build import page

    task = make_task("stacked-recall", vocabulary=16, pairs=4)
    text = page(Study(tmp_path / "<script>", None, evil_records(make_record), task))
    inert(text.replace("\r", ""), "report.html")


def test_lines_on_a_terminal(make_record: Any) -> None:
    from attenergy.search.display.state import ProgressState

    stream = io.StringIO()
    listener = PlainListener(ProgressState("accuracy", "lse"), stream)
    listener.message(EVIL)
    record = evil_records(make_record)[0]
    listener.finished(record)
    lines = Replay(record, record, (EVIL,), (EVIL,), EVIL).lines()
    text = stream.getvalue() + "\n".join(map(printable, lines))
    for character in UNSEEN:
        assert character not in text, ascii(character)
