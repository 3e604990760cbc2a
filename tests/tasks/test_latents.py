"""What tasks say lies behind an instance, against the instance itself."""

from __future__ import annotations

import torch

from attenergy.tasks import FuzzyLogic, HasLatents, Raven, StackedRecall
from attenergy.tasks.raven.rules import RULES


def test_rules_of_raven_are_those_that_the_answers_follow(obeys) -> None:
    task = Raven(features=3, rules=10)
    names = list(RULES)
    for split in ("test", "ood"):
        latents = task.latents(split, 5, 40)
        assert torch.equal(latents.batch.inputs, task.batch(split, 5, 40).inputs)
        drawn = task.instances(split, 5, 40)
        orders = drawn["permutations"].tolist()
        shown = drawn["panels"].tolist()
        for n, rules in enumerate(latents.labels["rule"].tolist()):
            assert set(rules[:-3]) == {-1}
            for place, rule in enumerate(rules[-3:]):
                # Follow the feature of the answer back to its place in the other columns.
                feature = orders[n][2][place]
                places = [orders[n][c].index(feature) for c in range(3)]
                grid = [[shown[n][r][c][places[c]] for c in range(3)] for r in range(3)]
                assert grid[2][2] == latents.batch.targets[n, place - 3]
                assert obeys(names[rule], grid, 8)
                assert latents.classes["rule"][rule] == names[rule]


def test_combinations_have_one_number_in_all_splits() -> None:
    for task in (Raven(features=2), FuzzyLogic(variables=3, examples=4, ood_fraction=0.4)):
        numbers: dict[tuple[int, ...], set[int]] = {}
        of_split = {}
        for split in ("train", "test", "ood"):
            drawn = task.instances(split, 0, 200) if isinstance(task, Raven) else None
            latents = task.latents(split, 0, 200)
            rows = (
                drawn["rules"]
                if drawn
                else torch.stack([latents.labels["term 1"], latents.labels["term 2"]], -1)
            )
            for row, number in zip(rows.tolist(), latents.combinations.tolist(), strict=True):
                numbers.setdefault(tuple(row), set()).add(number)
            of_split[split] = set(latents.combinations.tolist())
        assert all(len(each) == 1 for each in numbers.values())
        assert len(set().union(*numbers.values())) == len(numbers)
        assert not of_split["test"] & of_split["ood"]
        assert of_split["test"] & of_split["train"]


def test_terms_of_fuzzy_logic_give_its_labels_on_one_context() -> None:
    task = FuzzyLogic(variables=3, examples=5, ood_fraction=0.4)
    latents = task.latents("ood", 0, 30)
    points = latents.batch.inputs[..., :3]
    assert (points[:, :-1] == points[:1, :-1]).all()
    assert len(points[:, -1].unique(dim=0)) == 30
    for n in range(30):
        terms = [latents.classes[f"term {k}"][latents.labels[f"term {k}"][n]] for k in (1, 2)]
        assert latents.labels["bits"][n, 0].tolist() == list(map(float, "".join(terms)))
        for x, y in zip(points[n].tolist(), latents.batch.targets[n, :, 0].tolist(), strict=True):
            literals = [
                [v if sign == "1" else 1 - v for v, sign in zip(x, term, strict=True)]
                for term in terms
            ]
            assert abs(max(min(each) for each in literals) - y) < 1e-6
    fixed = FuzzyLogic(variables=3, examples=5, ood_fraction=0.4, fixed="query")
    assert len(fixed.latents("ood", 0, 9).batch.inputs[:, -1].unique(dim=0)) == 1


def test_who_gives_latents() -> None:
    assert isinstance(Raven(features=1), HasLatents)
    assert not isinstance(StackedRecall(), HasLatents)
