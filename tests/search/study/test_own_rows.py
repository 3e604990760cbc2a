"""A sampler and a pruner of a user's own are a row each, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from pydantic import ValidationError
from typer.testing import CliRunner

from attenergy.registry import Registry
from attenergy.search.cli.app import app
from attenergy.search.planning.plan import RECORDED, SearchPlan
from attenergy.search.planning.pruners import PRUNERS, Curve, Pruner
from attenergy.search.planning.samplers import SAMPLERS, Sampler, SamplerRequest
from attenergy.search.planning.search_file import read_search_file
from attenergy.search.runs.config import RunConfig
from attenergy.search.study.run import run_search

PlanMaker = Callable[..., SearchPlan]


class CountingSampler(RandomSampler):
    """Ends the search by itself, which a sampler may."""

    exhausted = False

    def after_trial(self, *arguments: Any) -> None:
        super().after_trial(*arguments)
        self.exhausted = True


class StrictPruner(Pruner):
    """Ends every run as soon as it may."""

    def verdict(self, key: str, curve: Curve) -> str:
        return "is not enough"


@pytest.fixture
def own_rows(monkeypatch: pytest.MonkeyPatch) -> list[SamplerRequest]:
    requests: list[SamplerRequest] = []

    def make(request: SamplerRequest) -> CountingSampler:
        requests.append(request)
        return CountingSampler(seed=request.seed)

    monkeypatch.setitem(SAMPLERS, "counting", Sampler(make, exhaustive=True))
    monkeypatch.setitem(PRUNERS, "strict", StrictPruner)
    return requests


def test_a_row_is_all_that_a_search_needs(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
    own_rows: list[SamplerRequest],
) -> None:
    play(lambda config: [0.5, 0.5])
    plan = make_plan(trials=9, sampler="counting", pruner="strict", control=0)
    records = run_search(plan, registry, watcher)
    assert "learning_rate" in own_rows[0].distributions
    assert len(records) < 9, "it was exhausted after the first draw"
    assert any("searched whole" in text for text in watcher.messages)


@pytest.mark.parametrize("made", [None, 3])
def test_a_sampler_that_is_none_is_refused(
    made: Any,
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SAMPLERS, "empty", Sampler(lambda _: made))
    with pytest.raises(TypeError, match=f"sampler 'empty' must make one of .*, got {made}$"):
        run_search(make_plan(sampler="empty"), registry, watcher)


def judged(config: RunConfig, said: Any) -> str:
    """What a pruner of that verdict says of a run that stands still after its warm-up."""
    pruner: Pruner = type("Own", (StrictPruner,), {"verdict": lambda *_: said})("accuracy", 0.1)
    pruner.begin(config)
    pruner.judge(config.run_key(), {"step": 0, "accuracy": 0.5})
    return pruner.judge(config.run_key(), {"step": 0.75 * config.training.steps, "accuracy": 0.5})


def test_the_verdict_of_a_pruner_is_a_text(make_config: Callable[..., RunConfig]) -> None:
    config = make_config()
    assert judged(config, "is low") == "after 75% of its training accuracy is low"
    assert judged(config, "") == judged(config, None) == ""
    with pytest.raises(TypeError, match=r"verdict of Own must be a text, .* got True"):
        judged(config, said=True)


def test_a_row_is_known_to_plans_files_and_the_command_line(
    make_plan: PlanMaker, tmp_path: Path, own_rows: list[SamplerRequest]
) -> None:
    with pytest.raises(ValidationError, match="counting counts what is left for one driver only"):
        make_plan(sampler="counting", join=True)
    path = tmp_path / "search.yaml"
    path.write_text("task: tiny\nsampler: counting\npruner: strict\n")
    assert read_search_file(path).fields["sampler"] == "counting"
    # The task is what is refused, so the sampler was not.
    result = CliRunner().invoke(app, ["search", "--task", "ravn", "--sampler", "counting"])
    assert result.stderr.startswith("no task 'ravn'")


@pytest.mark.parametrize(
    ("field", "name", "hint"), [("sampler", "cuonting", "counting"), ("pruner", "strcit", "strict")]
)
def test_an_unknown_name_is_refused_with_the_nearest(
    make_plan: PlanMaker, own_rows: list[SamplerRequest], field: str, name: str, hint: str
) -> None:
    with pytest.raises(ValidationError, match=f"no {field} '{name}' .did you mean '{hint}'"):
        make_plan(**{field: name})


def test_a_study_is_read_without_the_plug_in_that_it_was_made_with(make_plan: PlanMaker) -> None:
    text = make_plan().model_dump_json().replace('"tpe"', '"of_a_plug_in"')
    with pytest.raises(ValidationError, match="of_a_plug_in"):
        SearchPlan.model_validate_json(text)
    assert SearchPlan.model_validate_json(text, context={RECORDED: True}).sampler == "of_a_plug_in"
