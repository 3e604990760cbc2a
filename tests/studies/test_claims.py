"""How outcomes of claims follow from records, with records of which the answer is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from attenergy.registry import load_registry
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord

FOLDER = Path(__file__).resolve().parents[2] / "studies"
REGISTRY = load_registry(plugins=False)
Score = Callable[[RunConfig], float]


@pytest.fixture(scope="module")
def claims() -> Iterator[Any]:
    sys.path.insert(0, str(FOLDER))
    try:
        import claims

        yield claims
    finally:
        sys.path.remove(str(FOLDER))


def recorded(claims: Any, part: str, split: str, metric: str, score: Score) -> list[RunRecord]:
    """Records of a part that nobody made, with scores of our choice."""
    configs = claims.raven.parts(REGISTRY)[part].configs(part, REGISTRY)
    return [
        provenance.failed(config, "compare", "").model_copy(
            update={"status": "complete", "metrics": {split: {metric: score(config)}}}
        )
        for config in configs
    ]


def outcome_of(claims: Any, text: str, records: dict[str, list[RunRecord]]) -> Any:
    (claim,) = (claim for claim in claims.CLAIMS if text in claim.text)
    return claim.read(records)


@pytest.mark.parametrize(
    ("ahead", "verdict"), [(0.2, "reproduced"), (-0.2, "not reproduced"), (0.0, "undecided")]
)
def test_a_claim_that_one_is_ahead(claims: Any, ahead: float, verdict: str) -> None:
    def score(config: RunConfig) -> float:
        noise = 0.01 * (config.seed % 2) * (1 if config.variant == "hyla" else -1)
        return 0.5 + noise + ahead * (config.variant == "hyla")

    records = {"fuzzy": recorded(claims, "fuzzy", "ood", "r2", score)}
    outcome = outcome_of(claims, "fuzzy logic", records)
    assert outcome.verdict == verdict
    assert "(5 seeds)" in outcome.interval
    assert float(outcome.ours) == pytest.approx(ahead, abs=0.021)


@pytest.mark.parametrize(
    ("ahead", "verdict"), [(0.0, "reproduced"), (0.2, "not reproduced"), (-0.2, "not reproduced")]
)
def test_a_claim_that_two_are_equal(claims: Any, ahead: float, verdict: str) -> None:
    def score(config: RunConfig) -> float:
        return (
            0.5
            + 0.001 * config.seed * (config.variant == "hyla")
            + ahead * (config.variant == "linear")
        )

    name = "paper-adamw-1M"
    records = {name: recorded(claims, name, "ood", "accuracy", score)}
    assert outcome_of(claims, "are equal there", records).verdict == verdict


def test_recall_grows_with_the_state_or_does_not(claims: Any) -> None:
    """Each width at the rate that is best on `valid`, however the others do."""

    def grows(config: RunConfig, sign: int) -> dict[str, dict[str, float]]:
        width, rate = config.model.head_dim or 0, config.training.muon_learning_rate
        best = rate == (0.04 if width > 16 else 0.01)
        accuracy = sign * 0.01 * width + 0.001 * config.seed if best else 0.5 - sign * width
        return {"valid": {"accuracy": float(best)}, "128x32": {"accuracy": accuracy}}

    for sign, verdict in ((1, "reproduced"), (-1, "not reproduced")):
        records = [
            record.model_copy(update={"metrics": grows(record.config, sign)})
            for record in recorded(claims, "recall-state", "valid", "accuracy", lambda _: 0.0)
        ]
        outcome = outcome_of(claims, "grows with its state", {"recall-state": records})
        assert outcome.verdict == verdict
    assert outcome_of(claims, "grows with its state", {"recall-state": records[:4]}) is None
    first = [r for r in records if r.config.training.muon_learning_rate != 0.04]
    assert outcome_of(claims, "grows with its state", {"recall-state": first}) is None


def test_the_order_of_tasks(claims: Any) -> None:
    published = claims.sequence_outcomes.MAD
    for sign, verdict in ((1, "reproduced"), (-1, "not reproduced")):
        records = {
            f"mad-{name}": recorded(
                claims, f"mad-{name}", "test", "macro_accuracy", lambda _, v=sign * value: v
            )
            for name, value in published.items()
        }
        assert outcome_of(claims, "six MAD tasks", records).verdict == verdict
    solved = {
        name: [r.model_copy(update={"metrics": {"test": {"macro_accuracy": 0.999}}}) for r in runs]
        for name, runs in records.items()
        if name not in ("mad-compression", "mad-fuzzy-recall")
    }
    outcome = outcome_of(claims, "six MAD tasks", records | solved)
    assert outcome.verdict == "undecided"
    assert "4 of 6 tasks at their ceiling" in outcome.note
    del records["mad-copying"]
    assert outcome_of(claims, "six MAD tasks", records) is None


def test_where_seeds_solve_or_fail_the_order_of_states_is_open(claims: Any) -> None:
    records = recorded(claims, "recall-state", "valid", "accuracy", lambda _: 0.5)
    fails = {64: (0.9, 0.0, 0.0)}  # the widest, by seed

    def with_scores(record: RunRecord) -> RunRecord:
        width, seed = record.config.model.head_dim or 0, record.config.seed
        accuracy = fails.get(width, (0.01 * width,) * 3)[seed - 1]
        metrics = {"valid": {"accuracy": 0.5}, "128x32": {"accuracy": accuracy}}
        return record.model_copy(update={"metrics": metrics})

    outcome = outcome_of(
        claims, "grows with its state", {"recall-state": list(map(with_scores, records))}
    )
    assert outcome.verdict == "undecided"
    assert "64²: 0.30 (0.90)" in outcome.ours
    assert "seeds lie far apart at 64²" in outcome.note


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12))
def test_the_rank_correlation_with_ties(claims: Any, pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = zip(*pairs, strict=True)
    assume(len(set(one)) > 1 and len(set(other)) > 1)
    expected = stats.spearmanr(one, other).statistic
    assert claims.sequence_outcomes.spearman(one, other) == pytest.approx(expected, abs=1e-12)


LAYERS = ("blocks.0.mixer", "blocks.1.mixer", "all layers")


def measured(seed: int, told: float, gone: float) -> dict[str, Any]:
    """A model of which the last block tells so much more, and which attention is so much worth."""
    noise = 0.001 * seed
    rule = [
        {"layer": name, "held_out": 0.2 + noise + told * (name == LAYERS[1])}
        | {"permuted": 0.2, "scrambled": 0.15, "majority": 0.125}
        for name in LAYERS
    ]
    without = {"whole": 0.6, "attention": [0.4 + gone + noise, 0.2 + gone], "mlp": [0.4, 0.2]}
    return {"variant": "softmax", "seed": seed, "rule": rule, "without": without}


@pytest.mark.parametrize(
    ("ahead", "verdict"), [(0.1, "reproduced"), (-0.1, "not reproduced"), (-0.002, "undecided")]
)
def test_what_trained_models_hold(
    claims: Any, monkeypatch: pytest.MonkeyPatch, ahead: float, verdict: str
) -> None:
    models = [measured(seed, ahead, ahead + 0.001) for seed in (1, 2, 3)]
    monkeypatch.setattr(claims.outcomes.trained_models, "lines", lambda: models)
    told = outcome_of(claims, "so does that of softmax", {})
    gone = outcome_of(claims, "less loss than MLPs", {})
    assert told.verdict == gone.verdict == verdict
    assert float(told.ours) == pytest.approx(ahead + 0.002)
    assert float(gone.ours) == pytest.approx(ahead + 0.002)
    assert "(3 seeds)" in told.interval
    assert outcome_of(claims, "HYLA's last block", {}) is None  # no such model was measured


def test_what_has_no_records_is_named(claims: Any, tmp_path: Path) -> None:
    page = tmp_path / "claims.md"
    missing = claims.write_claims({}, page)
    text = page.read_text(encoding="utf-8")
    assert len(missing) == sum(claim.command.startswith("make study") for claim in claims.CLAIMS)
    assert all(name in text for name in missing)
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(claims.CLAIMS) - len(missing)
    assert all(row.count("|") == 8 for row in rows)


def test_every_command_is_there(claims: Any) -> None:
    parts = claims.raven.parts(REGISTRY)
    for claim in claims.CLAIMS:
        program, *_, name = claim.command.split(",")[0].split()
        if program == "make":
            assert name.removeprefix("PART=") in parts
        else:
            assert (FOLDER.parent / name).is_file()
