"""What is computed for the pictures of a page, and how they are inlined."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from attenergy.analysis import drawing as ink
from attenergy.search.report.html import coordinates, costs, curves, dependence, forest, importances
from attenergy.search.report.html.study_view import View
from attenergy.search.results import formats
from attenergy.search.results.ranking import rank
from tests.search.conftest import KnownTask


def test_a_tone_has_two_different_colours_and_no_two_tones_share_one() -> None:
    lights = [light for light, _ in ink.TONES.values()]
    assert len(set(lights)) == len(lights)
    for light, dark in ink.TONES.values():
        assert re.fullmatch("#[0-9a-f]{6}", light)
        assert re.fullmatch("#[0-9a-f]{6}", dark)


def test_softmax_is_ink_and_many_variants_differ() -> None:
    names = [f"v{i}" for i in range(28)]
    looks = ink.looks([*names, "softmax"])
    assert looks["softmax"].tone == "ink"
    styles = {(look.tone, look.marker, str(look.dash)) for look in looks.values()}
    assert len(styles) == 29


def test_a_variant_has_one_tone_whoever_stands_beside_it() -> None:
    usual = ("lse", "linear", "hyla", "graph_memory", "rbm", "polynomial", "entmax", "sparsemax")
    assert len({look.tone for look in ink.looks(usual).values()}) == len(usual)
    many = ink.looks([*(f"v{i}" for i in range(50)), *usual, "mine"])
    for name in (*usual, "mine"):
        assert ink.looks([name])[name].tone == many[name].tone


def test_points_have_tips(tmp_path: Path) -> None:
    with ink.drawing() as (figure, axes):
        axes.scatter([0, 1], [0, 1], gid="dots")
        axes.scatter([0, 1], [1, 0], gid="others")
    tips = {"dots": ["a <b>", "second"], "others": ["third", "fourth"]}
    svg = ink.Picture("one", "Title", "About.", figure, tips=tips).svg()
    titles = ["a &lt;b&gt;", "second", "third", "fourth"]
    assert re.findall(r"<use [^>]*><title>([^<]*)</title></use>", svg) == titles


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


def test_luck_alone_gives_importance_too(make_record: Any) -> None:
    records = [
        make_record("lse", (0.9 if beta > 0.5 else 0.1,), rate=rate, beta=beta)
        for beta in (0.1, 0.3, 0.7, 0.9)
        for rate in (1e-3, 2e-3, 3e-3, 4e-3)
    ]
    values = importances.importances(records, "accuracy", own=True)
    luck = importances.by_permutation(records, "accuracy", own=True)
    assert set(luck) == set(values)
    assert values["beta"] > luck["beta"]
    assert values["learning_rate"] < luck["learning_rate"]
    assert importances.by_permutation(records[:3], "accuracy") == {}


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


def test_partial_dependence_is_that_of_the_sum_of_terms() -> None:
    # Good rates were tried with low betas only: seen alone, a low beta looks good.
    random = np.random.default_rng(0)
    rows, scores = [], []
    for _ in range(80):
        beta, variant = float(random.uniform(1, 2)), str(random.choice(["lse", "rbm"]))
        rate = 3 - beta + float(random.normal(0, 0.15))
        rows.append({"variant": variant, "beta": beta, "rate": rate, "steps": 1})
        scores.append(0.3 + 0.2 * beta + 0.3 * rate + 0.1 * (variant == "rbm"))
    x, y = dependence.partial_dependence(rows, scores, "beta")
    assert (x[0], x[-1]) == pytest.approx(
        (min(r["beta"] for r in rows), max(r["beta"] for r in rows))
    )
    assert y[-1] - y[0] == pytest.approx(0.2 * (x[-1] - x[0]), abs=0.06)
    assert np.polyfit([r["beta"] for r in rows], scores, 1)[0] < 0
    assert y.mean() == pytest.approx(np.mean(scores), abs=0.03)


def test_few_values_have_means_and_few_trials_no_curve() -> None:
    rows = [{"variant": "lse", "steps": 1 + n % 2} for n in range(8)]
    scores = [0.2 if row["steps"] == 1 else 0.6 for row in rows]
    x, y = dependence.partial_dependence(rows, scores, "steps")
    assert x.tolist() == [1, 2]
    assert y == pytest.approx([0.2, 0.6])
    assert len(dependence.partial_dependence(rows[:7], scores[:7], "steps")[0]) == 0
    assert len(dependence.partial_dependence(rows, scores, "beta")[0]) == 0


def test_what_is_searched_in_an_energy_comes_first() -> None:
    rows = [
        {"variant": "lse", "lr": 1e-3 * n, "heads": 4, "steps": n, "beta": 0.1 * n, "kind": "a"}
        for n in range(1, 7)
    ]
    rows += [{"variant": "softmax", "lr": 1e-3}, {"variant": "softmax", "lr": 2e-3}]
    assert dependence.quantities(rows) == ["beta", "steps", "lr"]


def test_the_forest_has_a_row_for_each_finalist_and_a_dot_for_each_seed(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    records = [
        make_record(name, (0.5 + extra + 0.01 * seed,), seed=seed, purpose="final")
        for name, extra in (("softmax", 0.0), ("lse", 0.2))
        for seed in range(7)
    ]
    view = View(one_study(tmp_path, records))  # type: ignore[arg-type]
    desk, phone = forest.draw(view)
    assert (desk.screen, phone.screen) == ("desk", "phone")
    tips = [tip for each in desk.tips.values() for tip in each]
    assert "lse, seed 3: 0.730" in tips
    assert len(tips) == 2 * (7 + 1)
    svg = desk.svg()
    for word in ("beats", "baseline", "chance 0.125", "softmax 0.530"):
        assert f">{word}<" in svg


def test_scores_near_chance_have_an_axis_of_their_own(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    task = KnownTask()
    low = [make_record("lse", (0.13 + 0.001 * n,), beta=float(n)) for n in range(4)]
    near = View(one_study(tmp_path, low, task=task))  # type: ignore[arg-type]
    assert near.near_chance
    assert near.references == {"chance": 0.125, "ceiling": None}
    assert near.limits()[1] < 0.14
    assert "far off this axis" in near.about_axis
    high = [*low, make_record("lse", (0.5,), beta=9.0)]
    far = View(one_study(tmp_path, high, task=task))  # type: ignore[arg-type]
    assert (far.near_chance, far.about_axis) == (False, "")
    assert far.limits()[1] > 0.93


def test_costs_that_are_all_equal_have_no_picture(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    def with_cost(n: int) -> Any:
        cost = {"parameters": 1000 + n, "ms_per_step": 1.0 + n}
        return make_record("lse", (0.5,), beta=float(n)).model_copy(update={"cost": cost})

    view = View(one_study(tmp_path, [with_cost(n) for n in range(4)]))  # type: ignore[arg-type]
    assert [picture.name for picture in costs.draw(view)] == ["cost-ms-per-step"]


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
