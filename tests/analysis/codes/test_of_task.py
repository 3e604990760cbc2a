"""A model and its task: labels, held-out combinations, and tasks that give no labels."""

from __future__ import annotations

import pytest
import torch

from attenergy.analysis import ANALYSES, LatentCode, Subject, latent_code_of_task
from attenergy.attention import Transformer
from attenergy.registry import ArgumentError
from attenergy.tasks import FuzzyLogic, Raven, StackedRecall, Task


def untrained(task: Task) -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        outputs=task.outputs.size, layers=["hyla"], width=16, heads=4, mlp=0,
        positions="relative", kind=task.inputs.kind, size=task.inputs.size,
        length=task.inputs.length, channels=task.inputs.channels,
    ).eval()  # fmt: skip


def test_raven_has_rules_and_answers() -> None:
    task = Raven(features=2, values=4)
    result = latent_code_of_task(untrained(task), task, instances=60, permutations=2, tsne=False)
    rule, answer = result.decodings
    assert (rule.label, answer.label) == ("rule", "answer")
    assert rule.on_held_out
    assert rule.combinations <= len(task.held_out)
    assert sum(rule.instances) + rule.not_judged == 90
    assert set(rule.classes) <= {each.name for each in task.rules}
    assert set(answer.classes) <= set("0123")


def test_the_authors_pairs_are_those_of_the_last_feature() -> None:
    task = Raven(permute=False)
    ids = [36 - 1 - 2 * 4, 36 - 1 - 4]
    assert ids == [27, 31]  # of the panels to the left of the answer
    drawn = task.latents("test", 0, 2)
    tokens = drawn.batch.inputs.argmax(-1)
    instance = task.sample("test", 1)
    assert tokens[1, ids].tolist() == instance.grid[2, :2, 3].tolist()
    assert task.rules[int(drawn.labels["rule"][1, -1])].name == instance.rules[3]


def test_fuzzy_logic_has_terms_and_their_signs() -> None:
    task = FuzzyLogic(variables=3, examples=4, ood_fraction=0.4)
    result = latent_code_of_task(untrained(task), task, instances=60, permutations=2, tsne=False)
    assert [each.label for each in result.decodings] == ["term 1", "term 2", "bits", "answer"]
    assert [each.metric for each in result.decodings][2:] == ["R2", "R2"]
    unknown = latent_code_of_task(
        untrained(task), task, instances=60, permutations=2, tsne=False, held_out="unknown_terms"
    )
    first = unknown.decodings[0]
    assert not first.on_held_out
    assert set(first.unseen) <= {"110", "111"}
    assert any("no seen combination has" in note for note in unknown.notes())


def test_a_task_without_latents_has_its_answers() -> None:
    task = StackedRecall(vocabulary=8, pairs=2)
    result = latent_code_of_task(untrained(task), task, instances=60, permutations=2, tsne=False)
    assert [each.label for each in result.decodings] == ["answer"]
    assert not result.decodings[0].on_held_out
    with pytest.raises(ArgumentError, match="instances must be"):
        latent_code_of_task(untrained(task), task, instances=0)
    with pytest.raises(ValueError, match="odd"):
        latent_code_of_task(untrained(task), task, held_out="odd")


def test_the_command_line_runs_it() -> None:
    task = Raven(features=2, values=4)
    kind = ANALYSES["latent-code"]
    options = kind.settings({"instances": 60, "permutations": 2, "pairs": "-2:-2", "tsne": False})
    subject = Subject(untrained(task), "untrained", [], task)
    assert not kind.lacking(subject)
    result = kind.run(subject, options, None)
    assert isinstance(result, LatentCode)
    assert result.pairs == ((-2, -2),)
