"""What is computed for the pictures of a page, and how they are inlined."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from attenergy.search.report.html import coordinates, costs, curves, importances
from attenergy.search.report.html import style as ink
from attenergy.search.results import formats
from attenergy.search.results.ranking import rank


def test_a_tone_has_two_different_colours_and_no_two_tones_share_one() -> None:
    lights = [light for light, _ in ink.TONES.values()]
    assert len(set(lights)) == len(lights)
    for light, dark in ink.TONES.values():
        assert re.fullmatch("#[0-9a-f]{6}", light)
        assert re.fullmatch("#[0-9a-f]{6}", dark)


def test_the_baseline_is_ink_and_many_variants_differ() -> None:
    names = [f"v{i}" for i in range(28)]
    looks = ink.looks([*names, "softmax"], "softmax")
    assert looks["softmax"].tone == "ink"
    styles = {(look.tone, look.marker, str(look.dash)) for look in looks.values()}
    assert len(styles) == 29


def test_an_svg_has_no_colour_of_its_own_and_unique_names(tmp_path: Path) -> None:
    with ink.drawing() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=ink.colour("series-1"), marker="o", label="a $b_$ <c>")
        ink.legend(axes)
    picture = ink.Picture("one", "Title", "About <it>.", figure)
    svg = picture.svg("study-")
    assert svg.startswith('<svg role="img" aria-label="Title. About &lt;it&gt;."')
    assert "var(--series-1)" in svg
    assert not any(light in svg for light, _ in ink.TONES.values())
    assert "a $b_$ &lt;c&gt;" in svg
    names = re.findall(r'\bid="([^"]+)"', svg)
    assert names
    assert all(name.startswith("study-one-") for name in names)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
    assert {a or b for a, b in references} <= set(names)
    assert picture.svg("study-") == svg
    assert picture.save(tmp_path).read_bytes().startswith(b"\x89PNG")


def test_missing_matplotlib_is_told_with_the_line_that_installs_it(monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with (
        pytest.raises(ink.NoMatplotlib, match=r"pip install attenergy\[report\]"),
        ink.drawing(),
    ):
        pass


def test_a_front_has_what_nothing_beats() -> None:
    points = [(3.0, 0.5), (1.0, 0.2), (2.0, 0.6), (2.0, 0.4), (4.0, 0.6), (5.0, 0.9), (1.0, 0.1)]
    assert costs.front(points) == [(1.0, 0.2), (2.0, 0.6), (5.0, 0.9)]


def test_a_band_is_over_the_steps_that_all_runs_have(make_record: Any) -> None:
    first = [{"step": s, "loss": 0.0, "accuracy": v} for s, v in ((1, 0.1), (2, 0.2), (4, 0.4))]
    second = [{"step": s, "loss": 0.0, "accuracy": v} for s, v in ((2, 0.4), (4, 0.8))]
    records = [
        make_record("lse", (0.4,), seed=seed).model_copy(update={"curve": curve})
        for seed, curve in enumerate((first, second))
    ]
    steps, mean, low, high = curves.band(records, "accuracy")
    assert steps == [2, 4]
    assert mean == pytest.approx([0.3, 0.6])
    assert (low, high) == ([0.2, 0.4], [0.4, 0.8])
    assert curves.band(records, "nothing") == ([], [], [], [])


def test_the_spread_of_a_comparison_is_split_exactly(make_record: Any) -> None:
    # score = variant effect + seed effect, so nothing is left: 4 (1/2)^2 : 4 (1/4)^2 = 4 : 1.
    records = [
        make_record(v, (base + bonus,), seed=seed, purpose="compare")
        for v, base in (("softmax", 0.0), ("lse", 1.0))
        for seed, bonus in ((1, 0.0), (2, 0.5))
    ]
    rows = rank(records, "accuracy", {"valid": "valid"}, "softmax")
    shares = importances.spread(rows)
    assert shares == pytest.approx({"variant": 0.8, "seed": 0.2, "both together": 0.0})
    assert importances.spread(rows[:1]) == {}
    assert importances.by_luck(rows) == pytest.approx(1 / 3)


def test_the_quantity_that_decides_is_the_important_one(make_record: Any) -> None:
    records = [
        make_record("lse", (0.9 if beta > 0.5 else 0.1,), rate=rate, beta=beta)
        for beta in (0.1, 0.3, 0.7, 0.9)
        for rate in (1e-3, 2e-3, 3e-3, 4e-3)
    ]
    importance = importances.importances(records, "accuracy", own=True)
    assert importance["beta"] > 0.9
    assert sum(importance.values()) == pytest.approx(1)
    assert importances.importances(records[:11], "accuracy", own=True) == {}


def test_a_variant_that_decides_is_found_among_twenty_trials(make_record: Any) -> None:
    random = np.random.default_rng(0)
    first = 0
    for _ in range(20):
        records = [
            make_record(
                str(random.choice(["softmax", "lse", "hyla"])),
                rate=float(10 ** random.uniform(-4, -2)),
                steps=int(random.choice([100, 200])),
                seed=seed,
            )
            for seed in range(20)
        ]
        scored = [
            record.model_copy(
                update={
                    "metrics": {
                        "valid": {
                            "accuracy": 0.5 * (record.config.variant == "lse")
                            + random.normal(0, 0.02)
                        }
                    }
                }
            )
            for record in records
        ]
        first += next(iter(importances.importances(scored, "accuracy"))) == "variant"
    assert first >= 13, "of 20; with the best tenth as the target, five"


def test_axes_of_parallel_coordinates_hold_every_value() -> None:
    rows = [
        {"variant": "lse", "beta": 0.1, "steps": 1, "score": 0.1},
        {"variant": "rbm", "beta": 10.0, "steps": 3, "score": 0.5},
        {"variant": "softmax", "steps": 1, "score": 0.9},
    ]
    variant, steps, beta, score = coordinates.scales_of(rows)
    assert [s.name for s in (variant, steps, beta, score)] == ["variant", "steps", "beta", "score"]
    assert beta.log
    assert beta.place(1.0) == pytest.approx(0.5)
    assert beta.place(None) is None
    assert not score.log
    assert score.place(0.5) == pytest.approx(0.5)
    assert [text for _, text in steps.marks] == ["1", "3"]
    places = [variant.place(name) for name in ("lse", "rbm", "softmax")]
    assert places == pytest.approx([1 / 6, 3 / 6, 5 / 6])


@pytest.mark.parametrize(
    ("values", "across", "upwards"),
    [([1.0, 2.9], "linear", "linear"), ([1.0, 3.1], "log", "linear"),
     ([2.0, 59.0], "log", "linear"), ([2.0, 61.0], "log", "log"),
     ([0.0, 100.0], "linear", "linear"), ([-1.0, 100.0], "linear", "linear")],
)  # fmt: skip
def test_axes_are_logarithmic_where_numbers_differ_much(values, across, upwards) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    below, beside = figure.subplots(2)
    costs._scale(below, values)
    assert below.get_xscale() == across
    beside.plot([0, 1], values)
    curves._perhaps_logarithmic(beside)
    assert beside.get_yscale() == upwards


def test_numbers_that_lie_close_together_are_written_out() -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    costs._scale(axes, [10_000.0, 10_900.0])
    assert axes.xaxis.get_major_formatter()(10_500.0, 0) == "10,500"
    costs._scale(axes, [10_000.0, 20_000.0])
    assert axes.xaxis.get_major_formatter()(10_000.0, 0) == "10k"
    costs._scale(axes, [1.0, 1.1])
    assert axes.xaxis.get_major_formatter()(1.05, 0) == formats.tick(1.05)
