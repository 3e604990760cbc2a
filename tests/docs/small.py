"""What `run: small` does: the very commands of a page, with less to compute.

A command line is read, checked and carried out as it stands. Where it would begin to train, its
plan is made small: a few training steps, trials, seeds and instances, no time budget, no worker
processes and no GPU. Everything else of it is as typed (task, variants, settings, sampler,
objectives, pruner, rungs, storage, names, folders), so that the commands below it find its study.
A page may show several commands of which a reader takes one: where a study of that name is another
one already, the new one takes its place.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any
from unittest import mock

from attenergy.registry import AttenergyError, Registry, TaskSpec
from attenergy.search.comparison.compare import ComparisonMismatch
from attenergy.search.comparison.multi_task import Comparison
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.planning.final_budget import NONE
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.study.run import StudyExists, StudyMismatch
from attenergy.tasks import make_task

#: Training steps; a rung needs one at least.
STEPS = 2
TRIALS = 2
FINALISTS = 1
SEEDS = 1
#: Instances of a batch; of long sequences so many that their pairs of positions are no more.
BATCH, PAIRS = 8, 2**20
#: New formulas of a discovery.
CANDIDATES = 3
#: Instances of a split, and of an analysis; replays of a policy; points of a sweep or a grid.
INSTANCES = 32
REPEATS = 2
POINTS = 2
#: The most that an option of an analysis may be.
OF_AN_ANALYSIS: dict[str, Any] = {
    "fixed-points": {"states": 64},
    "latent-code": {"instances": 60, "permutations": 2, "tsne": False},
    "redundancy": {"random_orders": 1},
    "paths": {"points": 64, "shuffles": 20, "draws": 1},
}


def batch_of(plan: SearchPlan | ComparePlan, registry: Registry) -> int:
    """Instances of a batch: some layers hold several numbers for each pair of positions."""
    try:
        length = make_task(plan.task, registry=registry, **plan.task_options).inputs.length
    except (AttenergyError, OSError):
        return BATCH  # what the command says of it is what counts
    return max(1, min(BATCH, PAIRS // length**2))


def _fixed(fix: dict[str, Any], steps: int, batch: int) -> dict[str, Any]:
    """What is fixed, with few instances, and a warm-up that fits into the training."""
    count = INSTANCES * batch // BATCH
    small = {**fix, "valid_instances": count, "test_instances": count, "batch_size": batch}
    return small | ({"warmup": min(steps, fix["warmup"])} if "warmup" in fix else {})


def small_search(plan: SearchPlan, registry: Registry, *, resume: bool) -> SearchPlan:
    """The search with a few trials of a few steps, and one final; one trial more if it goes on."""
    steps = max(STEPS, 2 ** (plan.rungs - 1))
    changed = {
        "budget": None,
        "trials": min(TRIALS, plan.trials or TRIALS) + resume,
        "control": min(1, plan.control) if plan.control else plan.control,
        "train_steps": steps,
        "final_steps": steps + 1 if plan.final_steps else None,
        "finalists": min(FINALISTS, plan.finalists),
        "seeds": min(SEEDS, plan.seeds),
        "final_budget": NONE,
        "fix": _fixed(plan.fix, steps, batch_of(plan, registry)),
    }
    return plan.model_copy(update=changed | _one_process(plan))


def small_comparison(plan: ComparePlan, registry: Registry) -> ComparePlan:
    """The comparison with a few steps, one seed and a small grid for each variant."""
    changed = {
        "budget": None,
        "steps": STEPS,
        "seeds": min(SEEDS, plan.seeds),
        "final_budget": NONE,
        "tune": {name: values[:POINTS] for name, values in plan.tune.items()},
        "learning_rates": plan.learning_rates[:POINTS],
        "fix": _fixed(plan.fix, STEPS, batch_of(plan, registry)),
    }
    return plan.model_copy(update=changed | _one_process(plan))


def small_discovery(plan: DiscoverPlan, *, resume: bool) -> DiscoverPlan:
    """The discovery with a few formulas, from one energy; one formula more if it goes on."""
    seeds = ("lse",) if plan.seed_energies is None else plan.seed_energies[:1]
    changed = {
        "budget": None,
        "candidates": min(CANDIDATES, plan.candidates or CANDIDATES) + resume,
        "seed_energies": () if plan.without else seeds,
        "finalists": min(FINALISTS, plan.finalists),
    }
    return plan.model_copy(update=changed | _one_process(plan))


def _short(spec: TaskSpec) -> TaskSpec:
    """The task with few steps of training, if it has any."""
    fewer = {"steps": min(4 * STEPS, spec.training.steps), "warmup": min(1, spec.training.warmup)}
    training = spec.training.model_copy(update=_fixed({}, STEPS, BATCH) | fewer)
    return spec.model_copy(update={"training": training})


def _one_process(plan: SearchPlan | ComparePlan | DiscoverPlan) -> dict[str, Any]:
    """This process instead of workers, no GPU, and on a cluster two runs at a time."""
    return {"workers": 0 if plan.engine == "local" else 2, "gpus_per_trial": 0.0}


def _in_place_of_another(
    run: Callable[..., Any], plan: SearchPlan | ComparePlan | DiscoverPlan
) -> Any:
    try:
        return run()
    except (StudyExists, StudyMismatch, ComparisonMismatch):
        shutil.rmtree(plan.folder)
        return run()


def _search(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(
        plan: SearchPlan, registry: Registry, *rest: Any, resume: bool = False, **_: object
    ) -> Any:
        plan = small_search(plan, registry, resume=resume)
        return _in_place_of_another(lambda: run(plan, registry, *rest, resume=resume), plan)

    return small


def _compare(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(plan: ComparePlan, registry: Registry, *rest: Any, **_: object) -> Any:
        plan = small_comparison(plan, registry)
        return _in_place_of_another(lambda: run(plan, registry, *rest), plan)

    return small


def _several(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(plan: ComparePlan, parts: list[Comparison], registry: Registry, *rest: Any) -> Any:
        plan = small_comparison(plan, registry)
        return _in_place_of_another(lambda: run(plan, parts[:POINTS], registry, *rest[:1]), plan)

    return small


def _discover(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(
        plan: DiscoverPlan, registry: Registry, *rest: Any, time_budget: object = None, **more: Any
    ) -> Any:
        plan = small_discovery(plan, resume=more["resume"])
        tasks = {name: _short(spec) for name, spec in registry.tasks.items()}
        short = replace(registry, tasks=tasks)
        return _in_place_of_another(lambda: run(plan, short, *rest, **more), plan)

    return small


def _continue(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(record: Any, folder: Any, steps: int, *rest: Any, **options: Any) -> Any:
        steps = min(steps, record.config.training.steps + STEPS)
        return run(record, folder, steps, *rest, **options | {"workers": 0})

    return small


def _policies(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(searches: list[Any], *rest: Any, **options: Any) -> Any:
        return run(searches[:POINTS], *rest, **options | {"repeats": REPEATS})

    return small


def _feeding(make: Callable[..., Any]) -> Callable[..., Any]:
    def small(*values: Any) -> Any:
        made = make(*values)
        return replace(made, instances=min(INSTANCES, made.instances or INSTANCES))

    return small


def _choices(run: Callable[..., Any]) -> Callable[..., Any]:
    def small(*rest: Any) -> Any:
        return [
            replace(choice, settings={n: min(v, most.get(n, v)) if n in most else v
                                      for n, v in choice.settings.items()})
            for choice in run(*rest)
            for most in [OF_AN_ANALYSIS.get(choice.kind.name, {})]
        ]  # fmt: skip

    return small


#: Exact ceilings of tasks: what is best takes longer than what is trained.
_CEILINGS: dict[tuple[str, ...], Any] = {}


def _ceiling(run: Callable[..., Any]) -> Callable[..., Any]:
    def once(task: Any, split: str) -> Any:
        key = (type(task).__qualname__, repr(sorted(task.options.items())), split)
        if key not in _CEILINGS:
            _CEILINGS[key] = run(task, split)
        return _CEILINGS[key]

    return once


#: What a command calls -> what is called in its place, made from it.
SMALLER: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "attenergy.search.study.run.run_search": _search,
    "attenergy.search.comparison.compare.run_compare": _compare,
    "attenergy.search.comparison.multi_task.run_multi_task": _several,
    "attenergy.search.discovery.run.run_discovery": _discover,
    "attenergy.search.discovery.finals.race.run_compare": _compare,
    "attenergy.search.artifacts.train_longer.train_longer": _continue,
    "attenergy.search.bench.evaluate.evaluate": _policies,
    "attenergy.search.analyses.subjects.Feeding": _feeding,
    "attenergy.search.analyses.of_study.Feeding": _feeding,
    "attenergy.search.analyses.series.choose": _choices,
    "attenergy.search.analyses.of_study.choose": _choices,
    "attenergy.tasks.core.base.Task.ceiling": _ceiling,
    # A server is begun and ended; nothing opens a window.
    "socketserver.BaseServer.serve_forever": lambda _: lambda *_: None,
    "webbrowser.open": lambda _: lambda *_: True,
}


@contextlib.contextmanager
def smaller() -> Iterator[None]:
    """Commands of this process have little to compute meanwhile."""
    with contextlib.ExitStack() as stack:
        for place, make in SMALLER.items():
            owner, _, name = place.rpartition(".")
            thing = _thing(owner)
            stack.enter_context(mock.patch.object(thing, name, make(getattr(thing, name))))
        yield


def _thing(name: str) -> Any:
    """The module or class of that address."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        owner, _, last = name.rpartition(".")
        return getattr(import_module(owner), last)
