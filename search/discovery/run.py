"""A discovery: evolution of formulas beside its controls, then finals, then what is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from attenergy.registry import (
    ArgumentError,
    EnergySpec,
    Registry,
    VariantSpec,
    layer_uses,
    needed,
)
from attenergy.registry.files import write_atomically
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.comparison.configure import CHOOSING_SEED
from attenergy.search.discovery.conclusion import Listen, examine_winner, hold_finals, judged_tasks
from attenergy.search.discovery.formulas.candidate import Candidate, reason_against
from attenergy.search.discovery.formulas.grammar import Grammar, function_uses
from attenergy.search.discovery.ladder.rungs import Ladder, Rung
from attenergy.search.discovery.outcome import Outcome
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.study.evolution import Evolution
from attenergy.search.discovery.study.open import open_discovery
from attenergy.search.discovery.study.proposing import Proposer, Seeds
from attenergy.search.discovery.study.timing import EVOLUTION, EvolutionTime
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.plan import DISCOVER_PLAN
from attenergy.search.results import formats
from attenergy.search.runs.checkpoints import CheckpointRemoval
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.own_entries import registry_text, write_entries
from attenergy.search.runs.plugin_needs import check_needs, check_reaches_workers, write_needs
from attenergy.search.storage.database import shown_url
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.model import uses

#: What costs are a multiple of: one step of it is softmax attention.
_REFERENCE = "lse"
_KINDS = 8  # of candidates that have to fail alike before nothing seems to work


def run_discovery(
    plan: DiscoverPlan,
    registry: Registry,
    listener: Listener,
    *,
    listen: Listen | None = None,
    resume: bool = False,
    time_budget: TimeBudget | None = None,
) -> Discovery:
    """Let formulas evolve on a task, and hold the best of them against softmax.

    Candidates are typed formula trees. Those that pass the filters are scored without training;
    the better ones are trained for longer and longer, on one task after the other. Random trees
    have a share of the time, the same filters and the same rungs. At the end the best of every arm
    are compared over seeds. Every candidate that passes is a trial of one study, every run is
    recorded before the study is told of it, so whoever is killed loses and repeats nothing.

    Args:
        plan: what to do, and the folder that receives the study, its records, `discover.json`,
            `discovery.json`, `discovered.yaml`, `discovery.html` and `finals/`.
        registry: tasks, and energies to begin with.
        listener: is told what happens in the evolution; it is entered and left here.
        listen: makes the listener of one comparison of the finals; `listener` for all if None.
        resume: go on with an existing discovery, with so much more time.
        time_budget: the plan's time, with the moment at which the command began; if None, it
            begins now.

    Returns:
        What it has come to, as it is written to the folder.

    Raises:
        StudyExists: the study exists and `resume` is False.
        StudyMismatch: it exists but fits another plan, registry or version.
        StudyBusy: another process is at work on it.
        StorageProblem: the storage cannot be reached, read or written.
        SameFailure: every run fails, and in the same way.
        ValueError: the plan names something unknown or impossible.

    Example:
        >>> plan = DiscoverPlan(study="a", folder="runs/a", tasks=("denoising",), candidates=9)
        >>> discovery = run_discovery(plan, attenergy.load_registry(), Listener())  # doctest: +SKIP
    """
    folder = Path(plan.folder)
    check_needs(folder, to_go_on=True)
    if time_budget is None and plan.seconds is not None:
        time_budget = TimeBudget(plan.seconds, plan.budget_text)
    ladder = Ladder.of(plan.tasks, registry)
    tasks = {task: registry.task(task) for task in (*plan.tasks, *plan.held_out)}
    grammar = Grammar.of(plan.without)
    candidates = seed_candidates(plan, registry, grammar)
    energies = {name: registry.energies[name] for name in candidates}
    used = [use for rung in ladder.rungs for use in uses(_reference(rung, registry))]
    used += [("task class", spec.class_) for spec in tasks.values()]
    used += [use for spec in energies.values() for use in layer_uses(spec, {})]
    needs = needed([*used, *function_uses(grammar.functions)])  # what may be written counts, too
    if plan.workers or plan.engine != "local":
        check_reaches_workers(needs)
    seeds = Seeds.screened(candidates)
    if time_budget is not None and time_budget.elapsed >= time_budget.runs_end:
        raise ArgumentError(
            f"a budget of {time_budget.text} is too small: to begin took "
            f"{formats.rough_time(max(1.0, time_budget.elapsed))}, which leaves no time for a "
            "candidate; give at least 1m",
            topic="budget",
        )
    with open_discovery(plan, ladder, listener, resume=resume, needs=needs) as study:
        shown = plan.model_copy(update={"storage": shown_url(plan.storage)})
        write_atomically(folder / DISCOVER_PLAN, shown.model_dump_json(indent=2) + "\n")
        write_needs(folder, needed(used))
        write_entries(folder, registry_text(energies, tasks))
        outcome = Outcome.going_on(plan, ladder, study, registry)
        with _counted(outcome):
            with listener:
                _evolve(outcome, grammar, seeds, listener, time_budget)
            outcome.write(with_page=False)
            hold_finals(outcome, listen or (lambda _: nullcontext(listener)), listener, time_budget)
            with listener:
                examine_winner(outcome, listener, time_budget)
            return outcome.write()


@contextmanager
def _counted(outcome: Outcome) -> Iterator[None]:
    """Count the seconds of a session, also of one that is ended."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the storage may be what failed
            outcome.study.spend(outcome.spent)
        raise
    outcome.study.spend(outcome.spent)


def seed_candidates(
    plan: DiscoverPlan, registry: Registry, grammar: Grammar
) -> dict[str, Candidate]:
    """The energies of the registry that a discovery begins with, as candidates.

    Raises:
        ValueError: one that is named is no energy, or no candidate can say it.
    """
    names = registry.energies if plan.seed_energies is None else plan.seed_energies
    seeds: dict[str, Candidate] = {}
    for name in names:
        spec = registry.variant(name)
        candidate = Candidate.from_entry(spec) if isinstance(spec, EnergySpec) else None
        if candidate is not None and grammar.allows(candidate):
            seeds[name] = candidate
        elif plan.seed_energies is not None:
            raise ArgumentError(
                f"{name} cannot be a seed: {_reason_against(spec, candidate)}", topic="option-value"
            )
    return seeds


def _reason_against(spec: VariantSpec, candidate: Candidate | None) -> str:
    if not isinstance(spec, EnergySpec):
        return "it is no energy"
    if candidate is None:
        return reason_against(spec)
    return "it is too long, or calls a function that is left out"


def _evolve(
    outcome: Outcome,
    grammar: Grammar,
    seeds: Seeds,
    listener: Listener,
    budget: TimeBudget | None,
) -> None:
    """Let candidates evolve until the time for that is over."""
    plan, ladder, study = outcome.plan, outcome.ladder, outcome.study
    with make_executor(plan, Path(plan.folder)) as executor:
        if budget is not None:
            budget.started()
        records = study.store.all()
        checkpoints = plan.checkpoints(Path(plan.folder))
        checkpoints.tidy(record.key for record in records)
        failures = FailureWatch(listener, _KINDS, records)
        judged = judged_tasks(plan, outcome.registry)
        tasks = len(judged.tasks) + len(judged.held_out) if plan.finalists else 0
        share = EVOLUTION if tasks else 1.0
        time = EvolutionTime(budget, share, ladder, records)
        for text in _said(plan, ladder, seeds, budget, time, tasks):
            listener.message(text)
        listener.phase("candidates", len(study.population), len(study.population))
        reference = _reference(ladder.rungs[0], outcome.registry)
        evolution = Evolution(
            plan=plan,
            ladder=ladder,
            study=study,
            proposer=Proposer(plan, grammar, seeds, ladder.names, max(1, executor.free)),
            executor=executor,
            listener=CheckpointRemoval(failures, checkpoints),
            time=time,
            baseline_flops=KnownCosts().forward_flops(reference),
            entries=outcome.registry.energies,
            on_change=outcome.on_change,
        )
        evolution.run()
        outcome.searching = evolution.searching


def _said(
    plan: DiscoverPlan,
    ladder: Ladder,
    seeds: Seeds,
    budget: TimeBudget | None,
    time: EvolutionTime,
    tasks: int,
) -> list[str]:
    """What a user should know before anything is evaluated."""
    texts = [f"rungs: {', '.join(ladder.names)}"]
    if seeds.passed:
        texts.append(f"begins with {', '.join(seeds.passed)} and random trees")
    else:
        texts.append("begins with random trees")
    texts += [f"not {name}: {reason}" for name, reason in seeds.rejected.items()]
    if budget is not None and time.left is not None:
        text = f"{formats.duration(max(0.0, time.left))} for candidates"
        if plan.control:
            text += f", {plan.control:.0%} of it for random ones"
        if tasks:
            finals = formats.duration(max(0.0, budget.runs_end - (time.end or 0.0)))
            text += f"; {finals} for finals on {formats.counted(tasks, 'task')}"
        texts.append(f"budget {budget.text}: {text}")
    return texts


def _reference(rung: Rung, registry: Registry) -> RunConfig:
    """The run of softmax attention, as an energy, that costs are a multiple of."""
    spec = registry.energies[_REFERENCE]
    return rung.run_of(_REFERENCE, spec, {"steps": 1}, CHOOSING_SEED)
