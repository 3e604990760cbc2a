from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.tasks import Batch, Estimate, FuzzyLogic
from attenergy.tasks.fuzzy.functions import (
    covers,
    expected_r2,
    split_functions,
    term_bits,
    values_at,
)

LOADERS = ("train", "test", "ood", "valid", "valid_fixed_context", "valid_fixed_query")
SPLITS = ("train", "valid", "test", "ood", "unknown_terms")
HIGHEST_FIRST = torch.tensor([8, 4, 2, 1])
SMALL = {"variables": 3, "terms": 2, "examples": 4, "ood_fraction": 0.4}


def plain_value(point: list[float], terms: list[int]) -> float:
    """f(x) by the definition, one literal at a time."""
    size = len(point)
    literals = [
        [x if term & (1 << (size - 1 - i)) else 1 - x for i, x in enumerate(point)]
        for term in terms
    ]
    return max(min(term) for term in literals)


def test_terms_are_those_of_the_reference(golden) -> None:
    ours = term_bits(torch.arange(16), 4)
    np.testing.assert_array_equal(ours.numpy(), golden("fuzzy_logic")["conjunctions_all"])


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("examples", [16, 32])
def test_batches_are_those_of_the_reference(golden, examples: int, loader: str) -> None:
    arrays, task = golden("fuzzy_logic"), FuzzyLogic(examples=examples)
    for number in (0, 1):
        theirs = {
            key: torch.tensor(arrays[f"batch_sl{examples}_{loader}_{number}_{key}"])
            for key in ("x", "y", "base_mse", "latents")
        }
        terms = (theirs["latents"].long() * HIGHEST_FIRST).sum(-1)
        ours = task.encode({"terms": terms, "points": theirs["x"][..., :4]})
        assert torch.equal(ours.inputs, theirs["x"])
        assert torch.equal(ours.targets[:, -1], theirs["y"])
        variance = ours.targets.var(1, correction=0)
        torch.testing.assert_close(variance, theirs["base_mse"], rtol=1e-5, atol=1e-8)
        if loader.endswith("context"):
            assert (theirs["x"][:, :-1, :4] == theirs["x"][:1, :-1, :4]).all()
        if loader.endswith("query"):
            assert (theirs["x"][:, -1, :4] == theirs["x"][:1, -1, :4]).all()


@pytest.mark.parametrize("variant", ["softmax_attention", "linear_attention", "linear_hypatt"])
def test_loss_and_metric_are_those_of_the_reference(golden, variant: str) -> None:
    arrays, task = golden("transformer_logic16"), FuzzyLogic(examples=16)
    targets = torch.tensor(arrays["x"])[..., 4:]
    targets[:, -1] = torch.tensor(arrays["y"])
    logits = torch.tensor(arrays[f"{variant}/logits"])
    r2 = task.metrics(logits, targets)["r2"].mean().item()
    assert r2 == pytest.approx(arrays[f"{variant}/metric/r2"].item(), rel=1e-4)
    loss = task.loss(logits, targets).item()
    assert loss == pytest.approx(arrays[f"{variant}/metric/loss"].item(), rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2, 2024])
@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.7])
def test_splits_are_those_of_the_reference_but_for_the_order(golden, seed: int, fraction) -> None:
    arrays = golden("fuzzy_logic")
    train, held_out, unknown = (
        arrays[f"seed{seed}_ft{fraction}_{split}"].tolist() for split in ("train", "test", "ood")
    )
    task = FuzzyLogic(ood_fraction=fraction, split_seed=seed)
    ours = {split: task.functions_of(split).tolist() for split in SPLITS}
    assert (len(ours["train"]), len(ours["ood"])) == (len(train), len(held_out))
    assert sorted(ours["train"] + ours["ood"]) == sorted(train + held_out)
    assert ours["unknown_terms"] == unknown
    assert ours["train"] == ours["valid"] == ours["test"]
    # Two of the published splits train on 10 and 11 of the 12 terms; ours never do.
    assert covers(torch.tensor(train), 12) == ((seed, fraction) not in [(2, 0.7), (2024, 0.7)])
    assert {term for function in ours["train"] for term in function} == set(range(12))


def test_a_split_is_drawn_again_until_every_term_is_trained() -> None:
    splits = [split_functions(4, 2, 0.8, 0.25, seed) for seed in range(30)]
    assert all(covers(split["train"], 12) for split in splits)
    assert len({tuple(map(tuple, split["ood"].tolist())) for split in splits}) == 30
    again = split_functions(4, 2, 0.8, 0.25, 7)
    assert all(torch.equal(again[name], splits[7][name]) for name in again)


@settings(max_examples=30)
@given(
    variables=st.integers(3, 5),
    examples=st.integers(2, 9),
    split=st.sampled_from(SPLITS),
    fixed=st.sampled_from(["none", "context", "query"]),
    index=st.integers(0, 3000),
)
def test_every_instance_is_what_the_task_says(
    variables: int, examples: int, split: str, fixed: str, index: int
) -> None:
    task = FuzzyLogic(
        variables=variables,
        terms=2,
        examples=examples,
        ood_fraction=0.34,
        unknown_fraction=0.5,
        fixed=fixed,
    )
    fields = task.instances(split, index, 1)
    terms, points = fields["terms"][0].tolist(), fields["points"][0].tolist()
    assert terms in task.functions_of(split).tolist()
    assert len(set(terms)) == len(terms)
    assert all(0 <= x < 1 for point in points for x in point)
    batch = task.batch(split, index, 1)
    labels = [plain_value(point, terms) for point in points]
    assert batch.targets[0, :, 0].tolist() == pytest.approx(labels, abs=1e-6)
    expected = [[*p, y] for p, y in zip(points, [*labels[:-1], 0.0], strict=True)]
    np.testing.assert_allclose(batch.inputs[0].numpy(), expected, atol=1e-6)


def test_functions_and_points_are_uniform(looks_uniform) -> None:
    task = FuzzyLogic()
    for split in ("train", "ood", "unknown_terms"):
        drawn = task.instances(split, 0, 8192)
        numbers = {tuple(f): i for i, f in enumerate(task.functions_of(split).tolist())}
        ids = torch.tensor([numbers[tuple(f)] for f in drawn["terms"].tolist()])
        assert looks_uniform(ids, len(numbers))
        assert looks_uniform((drawn["points"] * 50).long().flatten(), 50)


def test_fixed_points_are_shared_and_the_functions_stay() -> None:
    free, context, query = (FuzzyLogic(fixed=fixed) for fixed in ("none", "context", "query"))
    points = {
        task.fixed: torch.cat([task.instances(s, 0, 60)["points"] for s in SPLITS])
        for task in (free, context, query)
    }
    assert (points["context"][:, :-1] == points["context"][0, :-1]).all()
    assert len(points["context"][:, -1].unique(dim=0)) == 300
    assert (points["query"][:, -1] == points["query"][0, -1]).all()
    assert len(points["query"][:, 0].unique(dim=0)) == 300
    assert len(points["none"].flatten(0, 1).unique(dim=0)) == 300 * 32
    for split in SPLITS:
        assert torch.equal(free.functions_of(split), context.functions_of(split))
        assert torch.equal(free.functions_of(split), query.functions_of(split))
    other = FuzzyLogic(fixed="query", split_seed=1).instances("test", 0, 1)["points"]
    assert not torch.equal(other[0, -1], points["query"][0, -1])


def best_answer(points: list, terms: list[int], functions: list) -> tuple[float, float]:
    """Answer with the highest expected r2 on a fine grid, and that r2."""
    seen = [plain_value(x, terms) for x in points[:-1]]
    worlds = []
    for function in functions:
        if [plain_value(x, function) for x in points[:-1]] == seen:
            y = plain_value(points[-1], function)
            worlds.append((y, np.var([*seen, y])))
    answers = np.linspace(0, 1, 20_001)
    scores = sum(1 - (answers - y) ** 2 / v for y, v in worlds) / len(worlds)
    return float(answers[scores.argmax()]), float(scores.max())


@pytest.mark.parametrize("split", ["test", "ood", "unknown_terms"])
def test_the_ceiling_is_the_best_of_all_answers(split: str) -> None:
    task = FuzzyLogic(variables=3, examples=4, ood_fraction=0.4, unknown_fraction=0.5)
    functions = task.functions_of(split).tolist()
    drawn = task.instances(split, 0, 200)
    computed = expected_r2(drawn["points"], drawn["terms"], task.functions_of(split))
    expected = [
        best_answer(points, terms, functions)
        for points, terms in zip(
            drawn["points"].double().tolist(), drawn["terms"].tolist(), strict=True
        )
    ]
    np.testing.assert_allclose(computed, [score for _, score in expected], atol=1e-3)
    answers = torch.tensor([answer for answer, _ in expected])[:, None, None].expand(-1, 4, 1)
    gained = task.metrics(answers, task.batch(split, 0, 200).targets)["r2"]
    gap = Estimate.of(gained.double() - computed)
    assert abs(gap.value) < 4 * gap.error + 1e-3
    ceiling = task.ceiling(split)
    assert ceiling.value == pytest.approx(computed.mean().item(), abs=0.2)
    assert 0 < ceiling.value <= 1


def test_enough_examples_tell_the_function() -> None:
    ceilings = [FuzzyLogic(examples=n).ceiling("ood").value for n in (3, 6, 12, 32)]
    assert ceilings == sorted(ceilings)
    assert ceilings[0] < 0.5
    assert ceilings[-1] == 1.0


def test_the_mean_of_the_labels_scores_at_chance() -> None:
    task = FuzzyLogic(**SMALL)
    targets = task.batch("test", 0, 8192).targets
    scores = task.metrics(targets.mean(1, keepdim=True).expand_as(targets), targets)["r2"]
    estimate = Estimate.of(scores)
    assert task.chance == {"r2": 0.0}
    assert abs(estimate.value) < 4 * estimate.error


def test_only_the_query_is_scored_and_a_right_answer_is_perfect() -> None:
    task = FuzzyLogic(**SMALL)

    def right(batch: Batch) -> torch.Tensor:
        logits = torch.randn(batch.targets.shape)
        logits[:, -1] = batch.targets[:, -1]
        return logits

    assert task.evaluate(right, "ood", 300, batch_size=70) == {"r2": 1.0, "loss": 0.0}
    targets = torch.tensor([[[0.0], [0.5], [1.0], [0.5]]]).double()
    logits = torch.zeros(1, 4, 1, dtype=torch.float64, requires_grad=True)
    loss = task.loss(logits, targets)
    loss.backward()
    assert loss.item() == 0.25
    assert logits.grad.flatten().tolist() == [0.0, 0.0, 0.0, -1.0]
    assert task.metrics(logits, targets)["r2"].tolist() == [-1.0]  # 1 - 0.25 / 0.125


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": 0}, "'variables' must be a whole number >= 1, got 0"),
        ({"terms": 1}, "'terms' must be a whole number >= 2, got 1"),
        ({"examples": 1}, "'examples' must be a whole number >= 2, got 1"),
        ({"terms": 5}, "5 distinct terms, but there are only 4 unknown ones"),
        ({"variables": 2, "terms": 4}, "4 distinct terms, but there are only 3 known ones"),
        ({"unknown_fraction": 0.0}, "there are only 0 unknown ones"),
        ({"unknown_fraction": -0.5}, "'unknown_fraction' must be a number between 0 and 1"),
        ({"unknown_fraction": "many"}, "'unknown_fraction' must be a number between 0 and 1"),
        ({"ood_fraction": 0.0}, "holds out 0 of 66 functions"),
        ({"ood_fraction": 1.5}, "'ood_fraction' must be a number between 0 and 1, got 1.5"),
        ({"ood_fraction": 1}, "holds out 66 of 66 functions"),
        ({"ood_fraction": True}, "'ood_fraction' must be a number between 0 and 1, got True"),
        ({"ood_fraction": 0.95}, "no choice of 4 training functions was found in which all 12"),
        ({"variables": 8, "terms": 4}, "functions of 4 out of 192 terms are too many"),
        ({"fixed": "contxt"}, "no fixed part 'contxt' .did you mean 'context'"),
        ({"split_seed": 1.5}, "'split_seed' must be a whole number"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FuzzyLogic(**options)


def test_a_sample_can_be_read() -> None:
    task = FuzzyLogic(**SMALL)
    instance = task.sample("ood", 5)
    text = str(instance).splitlines()
    assert len(text) == 6
    assert text[3].endswith(") = ?")
    assert text[4] == f"answer: {instance.labels[-1]:.3f}"
    for variables in itertools.product([False, True], repeat=3):  # the text, run as Python, agrees
        names = dict(zip(("x1", "x2", "x3"), variables, strict=True))
        terms = [all(p == v for p, v in zip(t, variables, strict=True)) for t in instance.terms]
        assert eval(text[5].removeprefix("f = "), {}, names) == any(terms)  # noqa: S307
    ids = [int("".join(str(int(p)) for p in term), 2) for term in instance.terms]
    assert torch.equal(values_at(instance.points[None], torch.tensor([ids]))[0], instance.labels)
