"""After the evolution: finals of the best, and what the winner owes to each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from attenergy.registry import EnergySpec, Registry
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.comparison.configure import CHOOSING_SEED
from attenergy.search.discovery.finals.race import run_finals
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.ladder.rungs import Rung
from attenergy.search.discovery.outcome import Outcome, formula_of
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.finalists import choose_finalists
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.discovery.results.ablation import Ablation, ablations
from attenergy.search.discovery.results.discovery import Ablated, Formula
from attenergy.search.discovery.results.entries import entry_of
from attenergy.search.discovery.results.finding import read_finals, winner_of
from attenergy.search.discovery.results.known import laws_of
from attenergy.search.discovery.study.timing import EvolutionTime
from attenergy.search.engines.base import run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore

Listen = Callable[[ComparePlan], AbstractContextManager[Listener]]

#: Folder of the ablation's runs in that of the discovery.
ABLATION = "ablation"
#: Of what the evolution leaves, the share of the finals; the ablation has the rest.
_FINALS = 0.9
#: Rungs on which the parts of the winner are left out: without training, and a short training.
_RUNGS = 2
#: Finalists that the discovery wrote.
_NEW = {"evolved", "random"}
#: Settings of a layer that do not hang on the formula.
_COMMON = ("steps", "step_size")


def judged_tasks(plan: DiscoverPlan, registry: Registry) -> DiscoverPlan:
    """The plan with those of its tasks alone that train: only they need finals.

    Without training every seed gives the same score, and settings were searched on the very
    instances; a race over seeds, with initial values that nobody tuned, would say nothing.
    """

    def trained(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if registry.task(name).training.steps)

    return plan.model_copy(
        update={"tasks": trained(plan.tasks), "held_out": trained(plan.held_out)}
    )


def hold_finals(
    outcome: Outcome, listen: Listen, listener: Listener, budget: TimeBudget | None
) -> None:
    """Hold the best of every arm against softmax, where there is a new formula to be held.

    Args:
        outcome: of the evolution; receives the finalists.
        listen: makes the listener of one comparison.
        listener: is told why there are no finals.
        budget: of the whole discovery; None without a clock.
    """
    plan = outcome.plan
    # A comparison that goes on must find everybody with the settings that they had before.
    population = [one for one in outcome.study.population if one.number not in outcome.searching]
    finalists = choose_finalists(population, outcome.ladder.names, plan.finalists)
    judged = judged_tasks(plan, outcome.registry)
    if not any(each.role in _NEW for each in finalists):
        return
    if not (judged.tasks or judged.held_out):
        listener.message("no finals: nothing is trained on these tasks; add a --task that trains")
        return
    winner = _winner(outcome)
    outcome.choose(finalists)
    outcome.write(with_page=False)  # whatever ends the finals, they have their finalists
    entries = {f.name: _entry(f.individual) for f in finalists if f.individual and f.role in _NEW}
    registry = replace(outcome.registry, energies={**outcome.registry.energies, **entries})
    part = None if budget is None else budget.part(_FINALS)
    if part is not None:
        part.text = f"{max(1.0, part.seconds):.0f}s"  # as a comparison's plan says it
    run_finals(judged, finalists, registry, listen, time_budget=part)
    if _winner(outcome) != winner:
        outcome.forget_winner()
    outcome.write(with_page=False)


def _winner(outcome: Outcome) -> Formula | None:
    discovery = outcome.discovery()
    return winner_of(discovery, read_finals(Path(outcome.plan.folder), discovery))


def _entry(one: Individual) -> EnergySpec:
    """The entry of a finalist, which no later session may change: its runs are known by it."""
    formula = formula_of(one)
    candidate = Candidate.from_formula(formula.formula)
    return entry_of(candidate, formula.settings, title=f"Energy {one.number} of a discovery")


def examine_winner(outcome: Outcome, listener: Listener, budget: TimeBudget | None) -> None:
    """Which laws the winner keeps, and its scores with one part less, again and again.

    Args:
        outcome: of evolution and finals; receives laws and scores.
        listener: is told of the runs.
        budget: of the whole discovery; None without a clock.
    """
    winner = _winner(outcome)
    if winner is None:
        return
    candidate = Candidate.from_formula(winner.formula)
    outcome.laws = laws_of(entry_of(candidate, winner.settings, title=winner.name))
    _ablate(outcome, winner, listener, budget)


def _ablate(
    outcome: Outcome, winner: Formula, listener: Listener, budget: TimeBudget | None
) -> None:
    folder = Path(outcome.plan.folder)
    parts = ablations(Candidate.from_formula(winner.formula))
    rungs = outcome.ladder.rungs[:_RUNGS]
    runs = {
        (part.what, rung.name): _run(outcome, rung, part, winner)
        for rung in rungs
        for part in parts
    }
    store, evolution = RunStore(folder / ABLATION), outcome.study.store
    records = {record.key: record for record in (*evolution.all(), *store.all())}
    time = EvolutionTime(budget, 1.0, outcome.ladder, records.values())
    missing = [config for config in runs.values() if config.run_key() not in records]
    listener.phase("ablation", len(runs) - len(missing), len(runs))
    if any(map(time.fits_run, missing)):  # to start processes takes seconds
        with make_executor(outcome.plan, store.folder) as executor:
            run_all(missing, "trial", executor, store, listener, time.fits_run)
    records |= {record.key: record for record in store.all()}
    outcome.ablations = tuple(_scored(part, runs, rungs, records) for part in parts)


def _run(outcome: Outcome, rung: Rung, part: Ablation, winner: Formula) -> RunConfig:
    names = {*_COMMON, *part.candidate.parameters}
    settings = {name: value for name, value in winner.settings.items() if name in names}
    return rung.config(part.candidate, settings, CHOOSING_SEED)


def _scored(
    part: Ablation,
    runs: dict[tuple[str, str], RunConfig],
    rungs: tuple[Rung, ...],
    records: Mapping[str, RunRecord],
) -> Ablated:
    scores: dict[str, float] = {}
    reason = ""
    for rung in rungs:
        record = records.get(runs[part.what, rung.name].run_key())
        if record is not None:
            scores[rung.name] = rung.score(record)
            reason = reason or record.reason
    return Ablated(what=part.what, formula=part.formula, scores=scores, reason=reason)
