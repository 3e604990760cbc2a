from __future__ import annotations

import math

import pytest
import torch

from attenergy.tasks import Batch, InContextRegression

SMALL = {"dim": 4, "pairs": 6, "queries": 3}


def answers(task: InContextRegression, split: str):
    """A predictor of batches from the task's Bayes predictor."""
    predictor = task.bayes(split)

    def predict(batch: Batch) -> torch.Tensor:
        tokens = batch.inputs.double()
        n, d = task.pairs, task.dim
        points, y, queries = tokens[:, :n, :d], tokens[:, :n, d], tokens[:, n:, :d]
        result = torch.zeros(*tokens.shape[:2], 1, dtype=torch.float64)
        for t in range(queries.shape[1]):
            seen = min(t, n) if task.every else n
            weights = predictor(points[:, :seen], queries[:, t : t + 1])
            result[:, n + t] = (weights @ y[:, :seen, None])[:, 0]
        return result

    return predict


@pytest.mark.parametrize("scored", ["query", "every"])
def test_tokens_are_pairs_and_then_queries(scored: str) -> None:
    task = InContextRegression(**SMALL, scored=scored)
    fields, batch = task.instances("test", 0, 50), task.batch("test", 0, 50)
    points, w, noise = fields["points"], fields["weights"], fields["noise"]
    clean = torch.einsum("nid,nd->ni", points, w)
    pairs, queries = batch.inputs[:, :6].double(), batch.inputs[:, 6:].double()
    torch.testing.assert_close(pairs[..., :4], points[:, :6], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(pairs[..., 4], clean[:, :6] + noise, atol=1e-6, rtol=1e-6)
    assert (pairs[..., 5] == 1).all()
    first = 6 if scored == "query" else 0
    torch.testing.assert_close(queries[..., :4], points[:, first:], atol=1e-6, rtol=1e-6)
    assert (queries[..., 4:] == 0).all()
    assert batch.targets[:, :6].isnan().all()
    wanted = clean[:, first:].float()
    torch.testing.assert_close(batch.targets[:, 6:, 0], wanted)
    assert task.batch("test", 0, 1).inputs.shape == (1, 9 if scored == "query" else 15, 6)


def test_no_query_can_reach_a_pair_that_it_is_asked_for() -> None:
    """Over any number of layers: what may be seen, seen from there, and so on."""
    task = InContextRegression(**SMALL, scored="every")
    mask = task.batch("valid", 0, 2).mask
    assert mask is not None
    reach = mask[0].double()
    for _ in range(5):
        reach = ((reach @ reach) > 0).double()
    for t in range(9):
        seen = reach[6 + t, :6].bool().tolist()
        assert seen == [i < t for i in range(6)]
        assert reach[6 + t, 6:].nonzero().flatten().tolist() == [t]
    for i in range(6):
        assert reach[i].nonzero().flatten().tolist() == list(range(i + 1))
    assert task.batch("valid", 0, 1).mask is not None
    assert InContextRegression(**SMALL).batch("valid", 0, 2).mask is None


def test_moments_of_every_split() -> None:
    task = InContextRegression(dim=5, pairs=8, queries=4, noise=0.3, scale=1.5, ood_factor=2.0)
    expected = {
        "train": (0.3, 1.5, 5),
        "test": (0.3, 1.5, 5),
        "ood_noise": (0.6, 1.5, 5),
        "ood_scale": (0.3, 3.0, 5),
        "ood_dimension": (0.3, 1.5, 2),
    }
    assert set(expected) < set(task.splits)
    for split, (noise, scale, active) in expected.items():
        fields = task.instances(split, 0, 3000)
        points = fields["points"]
        assert fields["noise"].std().item() == pytest.approx(noise, rel=0.03)
        assert fields["weights"].std().item() == pytest.approx(scale / math.sqrt(5), rel=0.03)
        there = (points != 0).any(1)
        assert ((points != 0) == there[:, None]).all(), "the same coordinates in a whole sequence"
        assert (there.sum(-1) == active).all()
        assert there.double().mean(0).sub(active / 5).abs().max() < 0.05
        assert points[points != 0].std().item() == pytest.approx(1, rel=0.02)
        targets = task.batch(split, 0, 3000).targets[:, 8:]
        assert targets.square().mean().item() == pytest.approx(scale**2 * active / 5, rel=0.08)


def test_splits_share_no_weights() -> None:
    task = InContextRegression(dim=2, pairs=2)
    seen = [
        set(map(tuple, (task.instances(s, 0, 1500)["weights"] / task.scale_of(s)).tolist()))
        for s in task.splits
    ]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 1500 * len(task.splits)


@pytest.mark.parametrize("scored", ["query", "every"])
def test_the_bayes_predictor_scores_the_ceiling(scored: str) -> None:
    task = InContextRegression(dim=3, pairs=5, queries=6, scored=scored, noise=0.4, scale=0.7)
    for split in task.splits[1:]:
        ceiling = task.ceiling(split)
        assert ceiling is not None
        scores = task.evaluate(answers(task, split), split, 4096)
        assert scores["r2"] == pytest.approx(ceiling.value, abs=0.015), split
        assert scores["mse"] == pytest.approx(scores["loss"], rel=1e-5)
        trained = task.evaluate(answers(task, "train"), split, 4096)
        assert trained["r2"] <= scores["r2"] + 0.005


def test_references_in_their_order() -> None:
    task = InContextRegression(dim=4, pairs=10, noise=0.5)
    for split in ("valid", "ood_noise", "ood_dimension", "ood_scale"):
        scores = task.references(split)
        assert scores["bayes"] == task.ceiling(split)
        assert scores["zero"].value == 0
        best = scores["bayes"].value
        assert all(s.value <= best + 1e-12 for s in scores.values())
    exact = 1 / (1 + 5 / 10 + 4 / 10 * 0.25)  # of one step of gradient descent
    step = task.references("test")["gradient_step"]
    assert step.value == pytest.approx(exact, abs=5 * step.error)
    with pytest.raises(ValueError, match="no split 'tests'"):
        task.references("tests")


def test_scores_after_every_number_of_pairs() -> None:
    task = InContextRegression(dim=2, pairs=5, queries=2, scored="every", noise=0.1)
    assert task.counts == (0, 1, 2, 4, 5)
    scores = task.evaluate(answers(task, "test"), "test", 2000)
    curve = [scores[f"r2_after_{k}"] for k in task.counts]
    assert curve[0] == 0
    assert curve == sorted(curve)
    assert curve[-1] > 0.97
    zero = task.evaluate(lambda batch: torch.zeros_like(batch.targets), "test", 500)
    assert zero["r2"] == 0
    right = task.evaluate(lambda batch: batch.targets.nan_to_num(7.0), "test", 500)
    assert right["r2"] == right["r2_after_4"] == 1


def test_without_noise_the_pairs_determine_everything() -> None:
    task = InContextRegression(dim=3, pairs=4, noise=0.0)
    assert "ood_noise" not in task.splits
    assert all(task.ceiling(split).value == pytest.approx(1) for split in task.splits)
    scores = task.evaluate(answers(task, "test"), "test", 500)
    assert scores["r2"] > 0.99


def test_a_person_reads_pairs_and_questions() -> None:
    text = str(InContextRegression(**SMALL).sample("test", 3))
    assert text.count("f(") == 9
    assert text.count("= ?  answer:") == 3
    assert "w = " in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -0.1}, "'noise' must be a finite number >= 0, got -0.1"),
        ({"noise": math.nan}, "'noise' must be a finite number >= 0, got nan"),
        ({"noise": "much"}, "'noise' must be a finite number >= 0, got 'much'"),
        ({"scale": 0}, "'scale' must be a finite number above 0, got 0"),
        ({"scale": True}, "'scale' must be a finite number above 0, got True"),
        ({"ood_factor": 1.0}, "'ood_factor' must be a finite number above 1, got 1.0"),
        ({"scored": "all"}, "no kind of scoring 'all'"),
        ({"dim": 0}, "'dim' must be a whole number >= 1, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InContextRegression(**options)


def test_a_ceiling_that_takes_minutes_is_left_out() -> None:
    assert InContextRegression(dim=300, pairs=300).ceiling("test") is None
