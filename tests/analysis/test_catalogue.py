"""What an entry of the catalogue checks before anything is computed."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from attenergy.analysis import ANALYSES, AnalysisKind, Subject
from attenergy.analysis.catalogue import Option
from attenergy.registry import ArgumentError, UnknownName
from attenergy.tasks import make_task

OPTIONS = (
    Option("max_steps", 100, "steps at most", least=1, most=1000),
    Option("tolerance", 1e-3, "where it ends", least=0),
    Option("kind", "cosine", "of similarity", choices=("cosine", "norm")),
    Option("heads", None, "how many", kind=int),
)


def _never(*_: Any) -> Any:
    raise AssertionError("nothing is to be run")


KIND = AnalysisKind("rest", "Rest", "Where does it rest?", _never, options=OPTIONS)


def test_options_that_are_not_set_have_their_defaults() -> None:
    wanted = {"max_steps": 5, "tolerance": 1.0, "kind": "cosine", "heads": None}
    assert KIND.settings({"max_steps": 5, "tolerance": 1}) == wanted
    assert isinstance(KIND.settings({"tolerance": 1})["tolerance"], float)
    assert KIND.settings({"heads": 3})["heads"] == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_step": 5}, "no option of rest 'max_step' (did you mean 'max_steps'?)"),
        ({"max_steps": 0}, "option rest.max_steps must be at least 1 and at most 1000, got 0"),
        ({"max_steps": 2.5}, "option rest.max_steps is a whole number, got 2.5"),
        ({"max_steps": True}, "option rest.max_steps is a whole number, got True"),
        ({"tolerance": math.nan}, "option rest.tolerance must be at least 0, got "),
        ({"kind": "cosin"}, "no value of option rest.kind 'cosin' (did you mean 'cosine'?)"),
        ({"heads": "all"}, "option rest.heads is a whole number, got 'all'"),
    ],
)
def test_an_option_says_what_it_takes(given: dict[str, object], said: str) -> None:
    with pytest.raises((ArgumentError, UnknownName)) as error:
        KIND.settings(given)
    assert said in str(error.value)


def test_a_subject_without_what_is_needed_is_told_why() -> None:
    needy = AnalysisKind("rest", "Rest", "?", _never, needs=("task", "untrained"))
    plain = Subject(nn.Linear(2, 2), "plain", [])
    assert "task" in needy.lacking(plain)
    task = make_task("stacked-recall", vocabulary=16, pairs=4)
    assert "before training" in needy.lacking(Subject(nn.Linear(2, 2), "it", [], task=task))
    whole = Subject(nn.Linear(2, 2), "it", [], task=task, make_untrained=lambda: nn.Linear(2, 2))
    assert needy.lacking(whole) == ""
    assert whole.untrained is whole.untrained
    assert KIND.lacking(plain) == ""


def test_a_subject_is_evaluated_on_its_task() -> None:
    task = make_task("stacked-recall", vocabulary=16, pairs=4)

    class Uniform(nn.Module):
        def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
            return torch.zeros(*inputs.shape[:2], task.outputs.size)

    subject = Subject(Uniform(), "uniform", [], task=task)
    assert subject.evaluate()["loss"] == pytest.approx(math.log(task.outputs.size), rel=1e-4)
    right = Subject(
        Uniform(),
        "right",
        [],
        task=task,
        predict=lambda _, batch: nn.functional.one_hot(
            batch.targets.clamp_min(0), task.outputs.size
        ).float(),
    )
    assert right.evaluate(instances=8)[task.metric] == 1
    with pytest.raises(ArgumentError, match="no task"):
        Subject(Uniform(), "none", []).evaluate()


def test_every_entry_can_be_named_and_set() -> None:
    for name, kind in ANALYSES.items():
        assert kind.name == name
        assert re.fullmatch("[a-z]+(-[a-z]+)*", name)
        assert kind.title
        assert kind.about.endswith("?")
        settings = kind.settings({})
        for option in kind.options:
            if option.default is not None:
                assert option.check(settings[option.name], name) == option.default
            assert option.about
            assert option.allowed
