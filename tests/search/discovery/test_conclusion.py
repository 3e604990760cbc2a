"""What a session leaves of finals and ablation, whatever ends it, and what the next one has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Registry
from attenergy.search.discovery.outcome import Outcome
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.results.discovery import Discovery, Finalist, read_discovery
from attenergy.search.discovery.run import run_discovery
from attenergy.search.runs.events import Listener
from tests.search.discovery.conftest import DiscoverPlanMaker, make_instant

UNKNOWN = Finalist(name="discovered_999", role="evolved", number=999)


class Stopped(BaseException):
    """Stands for a signal."""


@pytest.mark.usefixtures("instant", "no_page")
@pytest.mark.parametrize("where", ["run_finals", "examine_winner", "_evolve"])
def test_whatever_ends_a_session_the_finals_of_earlier_ones_stand(
    built_in: Registry,
    make_discovery: DiscoverPlanMaker,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    room = "attenergy.search.discovery"
    monkeypatch.setattr(f"{room}.conclusion.run_finals", lambda *_, **__: None)
    plan = make_discovery(tasks=("latch",), seed_energies=(), finalists=2, candidates=3)
    first = run_discovery(plan, built_in, Listener())
    assert len(first.finalists) > 2
    assert first.ablations

    def stop(*_: object, **__: object) -> None:
        raise Stopped

    owner = "conclusion" if where == "run_finals" else "run"
    with monkeypatch.context() as patch:
        patch.setattr(f"{room}.{owner}.{where}", stop)
        with pytest.raises(Stopped):
            run_discovery(plan, built_in, Listener(), resume=True)
    for after in (read_discovery(Path(plan.folder)), _resumed(plan, built_in, finalists=0)):
        assert after.finalists == first.finalists
        assert after.ablations == first.ablations
        assert after.laws == first.laws


def _resumed(plan: DiscoverPlan, registry: Registry, **changes: Any) -> Discovery:
    return run_discovery(plan.model_copy(update=changes), registry, Listener(), resume=True)


@pytest.mark.usefixtures("instant", "no_page")
def test_finals_that_are_ended_have_their_finalists(
    built_in: Registry, make_discovery: DiscoverPlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Stopped

    monkeypatch.setattr("attenergy.search.discovery.conclusion.run_finals", stop)
    plan = make_discovery(tasks=("latch",), seed_energies=(), finalists=2, candidates=3)
    with pytest.raises(Stopped):
        run_discovery(plan, built_in, Listener())
    written = read_discovery(Path(plan.folder))
    assert written.finalists[0].name == "softmax"
    assert {each.role for each in written.finalists} == {"softmax", "evolved", "random"}
    # A file of other formulas tells nothing of these.
    name = Path(plan.folder) / "discovered.json"
    name.write_text(written.model_copy(update={"finalists": (UNKNOWN,)}).model_dump_json())
    assert _resumed(plan, built_in, finalists=0).finalists == ()


@pytest.mark.usefixtures("no_page")
def test_an_ablation_without_missing_runs_starts_no_process(
    built_in: Registry, make_discovery: DiscoverPlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_instant(monkeypatch)
    plan = make_discovery(candidates=2, seed_energies=())
    first = run_discovery(plan, built_in, Listener())
    assert made
    monkeypatch.setattr("attenergy.search.discovery.conclusion.make_executor", None)
    assert _resumed(plan, built_in).ablations == first.ablations


@pytest.mark.usefixtures("instant", "no_page")
def test_seconds_of_a_session_that_is_ended_count(
    built_in: Registry, make_discovery: DiscoverPlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Stopped

    monkeypatch.setattr(Outcome, "spent", 100.0)
    plan = make_discovery(seed_energies=(), candidates=1)
    with monkeypatch.context() as patch:
        patch.setattr("attenergy.search.discovery.run.examine_winner", stop)
        with pytest.raises(Stopped):
            run_discovery(plan, built_in, Listener())
    assert _resumed(plan, built_in).seconds == 200.0
    assert _resumed(plan, built_in).seconds == 300.0
