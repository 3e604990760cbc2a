from __future__ import annotations

import json
import math

import pytest

from attenergy.search.results.leaderboard import leaderboard


def columns_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.fixture
def records(make_record):
    finals = [
        *[make_record("lse", s, seed=i, purpose="final", beta=0.5) for i, s in enumerate(LSE)],
        *[make_record("softmax", s, seed=i, purpose="final") for i, s in enumerate(SOFTMAX)],
    ]
    trials = [
        make_record("lse", (0.99, 0.01, 0.01), seed=9, beta=0.5),  # the trial that was chosen
        make_record("rbm", (0.40, 0.30, 0.10), beta=2.0),
        make_record("hyla", (0.60, 0.20, 0.15), rate=1e-3),
        make_record("rbm", status="diverged", reason="training loss nan at step 7", beta=4.0),
        make_record("rbm", status="failed", reason="Traceback\nRuntimeError: too big", beta=5.0),
    ]
    return trials + finals


# (valid, test, ood) for three seeds; softmax is 0.1 below lse on test for every seed.
LSE = [(0.7, 0.5, 0.3), (0.8, 0.6, 0.3), (0.9, 0.7, 0.3)]
SOFTMAX = [(0.75, 0.4, 0.1), (0.75, 0.5, 0.2), (0.75, 0.6, 0.3)]


def test_order_is_finalists_then_trials_each_by_validation(records, known_task) -> None:
    board = leaderboard(records, known_task)
    assert [(row.rank, row.variant, row.final) for row in board.rows] == [
        (1, "lse", True),
        (2, "softmax", True),
        (3, "hyla", False),
        (4, "rbm", False),
    ]
    assert [row.baseline for row in board.rows] == [False, True, False, False]


def test_a_better_test_score_never_changes_the_order(make_record, known_task) -> None:
    records = [make_record("lse", (0.5, 0.1, 0.1)), make_record("rbm", (0.4, 0.9, 0.9))]
    assert [row.variant for row in leaderboard(records, known_task).rows] == ["lse", "rbm"]


def test_finalists_have_mean_and_interval_without_the_trial_that_chose_them(
    records, known_task
) -> None:
    lse = leaderboard(records, known_task).rows[0]
    assert lse.seeds == (0, 1, 2)
    assert lse.scores["iid"].mean == pytest.approx(0.6)
    # s = 0.1 over three seeds: half width 4.3027 * 0.1 / sqrt(3).
    assert lse.scores["iid"].high == pytest.approx(0.6 + 0.43027 / math.sqrt(3), abs=1e-5)
    assert lse.values["iid"] == {0: 0.5, 1: 0.6, 2: 0.7}
    assert lse.scores["ood"].low == pytest.approx(0.3)


def test_differences_are_paired_with_the_baseline(records, known_task) -> None:
    lse, softmax, hyla, _ = leaderboard(records, known_task).rows
    assert lse.differences["iid"].mean == pytest.approx(0.1)
    assert lse.differences["iid"].low == pytest.approx(0.1)
    assert lse.differences["ood"].mean == pytest.approx(0.1)
    assert softmax.differences == {}
    assert hyla.differences == {}


def test_the_tuning_of_the_baseline_is_told(make_record, records, known_task) -> None:
    tried = [make_record("softmax", seed=seed) for seed in (20, 21)]
    note = "Tuning: 2 trials of the baseline; `rbm`, the most tried other, had 3."
    assert note in leaderboard([*records, *tried], known_task).notes
    assert not any("Tuning" in note for note in leaderboard(records, known_task).notes)


def test_a_lost_seed_is_seen(make_record, known_task) -> None:
    records = [
        make_record("lse", (0.7, 0.5, 0.3), seed=0, purpose="final"),
        make_record("lse", seed=1, purpose="final", status="diverged", reason="nan"),
    ]
    row = leaderboard(records, known_task).rows[0]
    assert (row.seeds, row.tried) == ((0,), 2)
    assert "1/2" in leaderboard(records, known_task).markdown()
    assert "which flatters what diverges" in leaderboard(records, known_task).markdown()


@pytest.mark.parametrize(
    ("seeds", "called"),
    [
        ({"softmax": 6, "lse": 6}, {"lse"}),
        ({"softmax": 5, "lse": 6}, set()),
        ({"softmax": 6, "lse": 6, "rbm": 6}, set()),  # two tests need seven
        ({"softmax": 7, "lse": 7, "rbm": 5}, {"lse"}),
        ({"softmax": 7, "lse": 7, "rbm": 6}, {"lse", "rbm"}),  # one is left, and needs six
    ],
)
def test_what_is_called_goes_by_the_seeds_that_both_have_and_by_the_number_of_tests(
    make_record, known_task, seeds, called
) -> None:
    records = [
        make_record(variant, (0.2 + score, score + seed / 100, 0.1), seed=seed, purpose="final")
        for (variant, count), score in zip(seeds.items(), (0.3, 0.5, 0.6), strict=False)
        for seed in range(count)
    ]
    board = leaderboard(records, known_task)
    (note,) = (note for note in board.notes if note.startswith("p: "))
    assert f"p <= 0.05 needs {5 + len(seeds) - 1} seeds" in note
    assert {row.variant for row in board.verdict.rows if row.call == "beats"} == called
    for row in board.rows:
        if row.differences:
            assert (row.p_values["valid"] <= 0.05) == (row.variant in called)


def test_runs_without_a_score_are_listed_with_their_reasons(records, known_task) -> None:
    board = leaderboard(records, known_task)
    assert [(f.status, f.reason) for f in board.failures] == [
        ("diverged", "training loss nan at step 7"),
        ("failed", "RuntimeError: too big"),
    ]
    assert "1 diverged, 1 failed of 11 runs gave no score." in board.notes


def test_markdown_has_scores_ceilings_and_chance(records, known_task) -> None:
    lines = leaderboard(records, known_task).markdown().splitlines()
    table = [columns_of(line) for line in lines if line.startswith("|")]
    assert table[0] == [
        *["#", "variant", "settings", "valid", "iid", "ood"],
        *["seeds", "params", "FLOPs", "ms", "s"],
    ]
    assert table[2] == [
        *["1", "lse", "beta=0.5 lr=0.003", "0.800 [.552,1]", "0.600±.248", "0.300±.000"],
        *["3", "12.3k", "1.2M", "9.87", "12"],
    ]
    assert table[3][:6] == [
        "2",
        "softmax*",
        "lr=0.003",
        "0.750±.000",
        "0.500±.248",
        "0.200 [0,.448]",
    ]
    assert table[6][1:6] == ["ceiling", "", "0.930", "0.928±.001", "-"]
    assert table[7][1:6] == ["chance", "", "0.125", "0.125", "0.125"]


def test_what_differs_between_trials_is_shown_and_what_does_not_is_not(records, known_task) -> None:
    rows = leaderboard(records, known_task).rows
    assert rows[2].settings == {"lr": 1e-3}
    assert "heads" not in rows[2].settings
    assert "train_steps" not in rows[0].settings


def test_notes_state_fairness_choice_seeds_and_versions(records, known_task) -> None:
    notes = "\n".join(leaderboard(records, known_task).notes)
    assert "`valid` only" in notes
    assert "seeds 0, 1, 2" in notes
    assert "equal training steps" in notes
    assert "100 steps of 128 instances" in notes
    assert "torch 2.13.0" in notes


def test_a_missing_baseline_is_said(make_record, known_task) -> None:
    board = leaderboard([make_record("lse", (0.5,), purpose="final")], known_task)
    assert "The baseline `softmax` has no finished runs over seeds." in board.notes


def test_json_holds_raw_numbers(records, known_task) -> None:
    data = json.loads(leaderboard(records, known_task).json())
    assert data["task"] == "known"
    assert data["rows"][0]["values"]["iid"] == {"0": 0.5, "1": 0.6, "2": 0.7}
    assert data["ceiling"]["iid"] == {"value": 0.928, "error": 0.0012, "instances": 4}
    assert data["ceiling"]["ood"] is None
    assert data["failures"][0]["status"] == "diverged"


def test_a_task_without_ood_has_no_ood_column(make_record, known_task) -> None:
    known_task.splits = ("train", "valid", "test")
    board = leaderboard([make_record("lse", (0.5, 0.4))], known_task)
    assert board.columns == ("valid", "iid")


def test_no_records_give_an_empty_table_with_chance(known_task) -> None:
    board = leaderboard([], known_task)
    assert board.rows == ()
    assert "chance" in board.markdown()


def test_records_of_two_tasks_are_refused(make_record, known_task) -> None:
    records = [make_record("lse", (0.5,)), make_record("lse", (0.5,), task="other")]
    with pytest.raises(ValueError, match=r"\['known', 'other'\]"):
        leaderboard(records, known_task)


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ([(100, None, 1e9)] * 2, "equal training steps (trials 100 steps of"),
        ([(100, 2.5, 1e9), (100, 2.5, 3e9)], "equal seconds of training (trials 2.5 s)"),
        ([(100, None, 1.00e9), (70, None, 1.02e9)], "equal training FLOPs (trials about 1.0G"),
        ([(100, None, 1e9), (70, None, 2e9)], "No fairness: trials were trained for different"),
    ],
)
def test_the_unit_of_fairness_is_read_from_the_runs(
    make_record, known_task, budgets: list[tuple[int, float | None, float]], expected: str
) -> None:
    records = []
    for beta, (steps, seconds, flops) in enumerate(budgets):
        record = make_record("lse", (0.5,), steps=steps, beta=float(beta))
        config = record.config.model_copy(update={"seconds": seconds})
        cost = {**record.cost, "training_flops": flops}
        records.append(record.model_copy(update={"config": config, "cost": cost}))
    notes = leaderboard(records, known_task).notes
    assert any(expected in note for note in notes)
