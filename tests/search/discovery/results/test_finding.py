from __future__ import annotations

from pathlib import Path

from attenergy.registry import Registry
from attenergy.search.discovery.results.discovery import Discovery, Finalist
from attenergy.search.discovery.results.finding import Finding, judge, read_finals
from tests.search.discovery.results.conftest import Scores, around, write_final

FEW = 3  # seeds, too few for a call


def finding_of(discovery: Discovery, folder: Path, registry: Registry, **scores: Scores) -> Finding:
    for task, each in scores.items():
        write_final(folder, task.replace("_", "-"), each, registry)
    return judge(discovery, read_finals(folder, discovery))


def scores(winner: float, lse: float = 0.41, seeds: int = 8) -> Scores:
    means = {"softmax": 0.4, "lse": lse, "discovered_5": winner, "random_2": 0.2}
    return {name: around(mean, seeds) for name, mean in means.items()}


def test_it_beats_everything_on_its_task(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    finding = finding_of(discovery, tmp_path, known, stacked_recall_small=scores(0.5))
    assert finding.verdict.kind == "beats"
    assert finding.verdict.sentence == (
        "`discovered_5`, the best of 5 formulas that the search wrote: on stacked-recall-small it "
        "beats `softmax` by 0.100, `lse` (the registry's best) by 0.090 and `random_2` (the best "
        "random formula) by 0.300 (8 seeds; each call is wrong in at most 5 % of cases)."
    )
    assert [(a.control.name, a.call, a.seeds) for a in finding.against] == [
        ("softmax", "beats", 8),
        ("lse", "beats", 8),
        ("random_2", "beats", 8),
    ]


def test_losing_to_one_control_is_no_win(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    finding = finding_of(discovery, tmp_path, known, stacked_recall_small=scores(0.5, lse=0.6))
    assert finding.verdict.kind == "loses"
    assert finding.verdict.sentence.startswith("Nothing that was discovered beats all")
    assert "loses to `lse` (the registry's best) by 0.100" in finding.verdict.sentence


def test_few_seeds_decide_nothing(discovery: Discovery, tmp_path: Path, known: Registry) -> None:
    finding = finding_of(discovery, tmp_path, known, stacked_recall_small=scores(0.5, seeds=FEW))
    assert finding.verdict.kind == "undecided"
    assert "is undecided against `softmax` (+0.100)" in finding.verdict.sentence
    assert all(each.low is None for each in finding.against)


def test_scores_near_chance_order_nobody(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    low = {name: around(0.02) for name in ("softmax", "lse", "discovered_5", "random_2")}
    finding = finding_of(discovery, tmp_path, known, stacked_recall_small=low)
    assert finding.verdict.kind == "unlearned"
    assert finding.verdict.sentence.startswith("Nobody learned")


def test_a_held_out_task_is_named_and_chooses_nothing(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    first = {**scores(0.5), "discovered_3": around(0.45)}
    other = {**scores(0.3), "discovered_3": around(0.9)}
    finding = finding_of(discovery, tmp_path, known, stacked_recall_small=first, mqar=other)
    assert finding.winner is not None
    assert finding.winner.name == "discovered_5"
    assert "on mqar (not used in the search) it" in finding.verdict.sentence


def test_a_random_formula_that_wins_is_held_against_the_evolved_ones(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    finding = finding_of(
        discovery, tmp_path, known, stacked_recall_small={**scores(0.5), "random_2": around(0.7)}
    )
    assert "that the search wrote at random" in finding.verdict.sentence
    assert "`discovered_5` (the best evolved formula) by 0.200" in finding.verdict.sentence


def test_without_finals_nothing_is_decided(discovery: Discovery, tmp_path: Path) -> None:
    finding = judge(discovery, read_finals(tmp_path, discovery))
    assert finding.verdict.kind == "none"
    assert finding.verdict.sentence == (
        "Nothing is decided before the finals: `discovered_5` is the best of 5 formulas that the "
        "search wrote, with 0.600 on `mqar`; the registry's best has 0.400, the best random "
        "formula has 0.100."
    )


def test_without_formulas_it_says_so(discovery: Discovery) -> None:
    empty = discovery.model_copy(update={"population": ()})
    assert judge(empty, ()).verdict.sentence == (
        "Nothing was discovered: 60 formulas rejected, none has a score."
    )


def test_without_a_new_formula_it_says_where_the_time_went(discovery: Discovery) -> None:
    seeds = tuple(each for each in discovery.population if each.arm == "registry")
    only = discovery.model_copy(update={"population": seeds, "rejected": {}, "finalists": ()})
    assert "the time went to 2 formulas of the registry" in judge(only, ()).verdict.sentence


def test_a_loss_on_another_task_is_no_plain_win(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    finding = finding_of(
        discovery, tmp_path, known, stacked_recall_small=scores(0.5), mqar=scores(0.3)
    )
    assert finding.verdict.kind == "undecided"
    assert finding.verdict.sentence.startswith("It depends on the task. ")


def test_one_win_among_several_tasks_has_to_be_surer(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    still = {"mqar": scores(0.41, seeds=FEW)}
    one = {"stacked_recall_small": scores(0.5), **still}
    finding = finding_of(discovery, tmp_path / "one", known, **one)
    assert [each.call for each in finding.against[:3]] == ["beats"] * 3
    assert finding.verdict.kind == "undecided"
    assert finding.verdict.sentence.startswith("Among 2 tasks, one such win may be luck. ")
    more = {"stacked_recall_small": scores(0.5, seeds=16), **still}
    assert finding_of(discovery, tmp_path / "more", known, **more).verdict.kind == "beats"


def test_a_difference_that_rounds_to_nothing_is_no_zero(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    close = {seed: score + 2e-4 for seed, score in around(0.5).items()}
    finding = finding_of(
        discovery, tmp_path, known, stacked_recall_small={**scores(0.5), "lse": close}
    )
    assert "loses to `lse` (the registry's best) by less than 0.001" in finding.verdict.sentence


def test_the_more_finalists_the_more_it_takes(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    few = finding_of(discovery, tmp_path / "few", known, stacked_recall_small=scores(0.5))
    crowd = {f"discovered_{n}": around(0.45) for n in range(10, 20)}
    finalists = [Finalist(name=name, role="evolved") for name in crowd]
    larger = discovery.model_copy(update={"finalists": (*discovery.finalists, *finalists)})
    many = finding_of(
        larger, tmp_path / "many", known, stacked_recall_small={**scores(0.5), **crowd}
    )
    assert many.winner == few.winner
    assert [one.p for one in many.against] > [one.p for one in few.against]


def test_the_call_against_softmax_is_that_of_the_leaderboard(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    finding = finding_of(discovery, tmp_path, known, stacked_recall_small=scores(0.5))
    (final,) = read_finals(tmp_path, discovery)
    row = next(r for r in final.board.verdict.rows if r.variant == "discovered_5")
    assert (finding.against[0].call, finding.against[0].p) == (row.call, row.p)
