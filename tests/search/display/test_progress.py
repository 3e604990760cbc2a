from __future__ import annotations

import io
import re
import runpy
import sys
from pathlib import Path

import pytest

from attenergy.search.display.live import LiveListener
from attenergy.search.display.plain import PlainListener
from attenergy.search.display.progress import SafeListener, make_listener


def test_plain_lines(state, make_record, clock) -> None:
    stream = io.StringIO()
    listener = PlainListener(state, stream)
    listener.phase("trials", 9, 12)
    clock.now = 10.0
    record = make_record("lse", (0.5,), beta=0.25)
    listener.started(record.config)
    listener.progress(record.key, 1, 2, 0.5)
    listener.finished(record)
    listener.message("hello")
    assert stream.getvalue().splitlines() == [
        "trials: 9 of 12 done",
        "[10/12] lse beta=0.25 heads=8 lr=0.003 seed=0: valid 0.500 (12.0 s, 0:20 left); "
        "best so far: lse 0.500 (baseline softmax: not yet)",
        "hello",
    ]


def test_a_closed_stream_does_not_end_a_search(state, make_record) -> None:
    stream = io.StringIO()
    with SafeListener(PlainListener(state, stream)) as listener:
        stream.close()
        record = make_record("lse", (0.5,))
        listener.phase("trials", 0, 1)
        listener.started(record.config)
        listener.progress(record.key, 1, 2, 0.5)
        listener.finished(record)
        listener.message("still here")


@pytest.mark.parametrize(
    ("terminal", "encoding", "kind"),
    [
        ("xterm-256color", "utf-8", LiveListener),
        ("dumb", "utf-8", PlainListener),
        ("xterm-256color", "ascii", PlainListener),
    ],
)
def test_the_display_is_live_where_it_can_be_redrawn(
    monkeypatch, terminal: str, encoding: str, kind: type
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(sys, "stderr", Terminal(io.BytesIO(), encoding=encoding))
    assert isinstance(make_listener(metric="accuracy")._inner, kind)


def test_the_display_is_plain_away_from_a_terminal(capsys, make_record) -> None:
    with make_listener(metric="accuracy", known=[make_record("lse", (0.7,))]) as listener:
        listener.phase("trials", 0, 1)
        listener.finished(make_record("softmax", (0.6,)))
    out, err = capsys.readouterr()
    assert out == ""
    assert "best so far: lse 0.700 (baseline softmax 0.600, +0.100)" in err


ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["terminal", "terminal-end"])
def test_the_pictures_of_the_docs_fetch_nothing_and_name_no_place(name: str) -> None:
    text = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|@font-face|url\((?!#)|/tmp|/home|/work", text)
    words = re.sub(r"<[^>]+>", "", text).replace("&#160;", " ")
    assert "$ attenergy search --task stacked-recall" in words


@pytest.mark.slow  # a search with a worker process
def test_pictures_are_made_from_a_real_search(tmp_path: Path, monkeypatch) -> None:
    space = runpy.run_path(str(ROOT / "benchmarks" / "pages" / "terminal_picture.py"))
    command = "attenergy search --task stacked-recall-small --energies softmax --trials 2 --steps 4"
    monkeypatch.setitem(
        space["main"].__globals__, "COMMAND", f"{command} --finalists 0 --fix heads=1"
    )
    monkeypatch.setattr(sys, "argv", ["picture", "--out", str(tmp_path), "--done", "1"])
    assert space["main"]() == 0
    half, end = (
        (tmp_path / f"{name}.svg").read_text(encoding="utf-8").replace("&#160;", " ")
        for name in ("terminal", "terminal-end")
    )
    assert "1/2" in half
    assert "best so far: softmax" in half
    assert "trials: 2 of 2 in" in end
    assert "attenergy.load(" in end
