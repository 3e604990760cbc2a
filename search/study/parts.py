"""What follows from the plan of a search before anything is run: its mistakes show here."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from attenergy.registry import PluginNeed, Registry, SearchSpaceError, needed
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.objectives import Objective, find_objectives
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.pruners import PRUNERS, Pruner
from attenergy.search.planning.space import Space
from attenergy.search.runs.plugin_needs import check_reaches_workers
from attenergy.search.study.rungs import first_steps
from attenergy.search.training.model import build_model, uses
from attenergy.search.training.own_model import try_model
from attenergy.tasks import Task, make_task


@dataclass(frozen=True)
class SearchParts:
    """What follows from a plan, found out before anything is run.

    Attributes:
        space: that is searched.
        task: that is learned.
        objectives: the first is a metric.
        pruner: ends hopeless runs, if there is one.
        needs: plug-ins without which the study cannot go on.
        equal: gives every run its length.
    """

    space: Space
    task: Task
    objectives: tuple[Objective, ...]
    pruner: Pruner | None
    needs: list[PluginNeed]
    equal: EqualTraining

    def said(self, plan: SearchPlan) -> list[str]:
        """What a user should know of a plan before anything is trained."""
        reference, left_out = self.space.reference(), self.space.left_out
        own = reference.own_model
        texts = [] if own is None else try_model(reference).said(own.build)
        if left_out:
            texts.append(f"left out: {', '.join(left_out)} ({next(iter(left_out.values()))})")
        number = len(self.space.variants)
        if "variant" not in plan.fix and plan.trials is not None and plan.trials < number:
            texts.append(
                f"{plan.trials} trials are too few for {number} variants: {number - plan.trials} "
                "of them are not tried at all; give more --trials, or name fewer with --energies"
            )
        return texts

    @classmethod
    def of(cls, plan: SearchPlan, registry: Registry) -> SearchParts:
        """Find it out.

        Raises:
            ValueError: the plan names something unknown or impossible.
        """
        space = Space(registry, plan)
        task = make_task(space.task, split_seed=plan.split_seed)
        objectives = find_objectives(task, plan.objectives)
        pruner = PRUNERS[plan.pruner](task.metric, task.chance.get(task.metric, 0.0))
        _check_fixed(space, task)
        first_steps(plan, space)
        own = [("sampler", plan.sampler), ("pruner", plan.pruner)]
        needs = needed([*own, *(use for config in space.each() for use in uses(config))])
        if plan.workers or plan.engine != "local":
            check_reaches_workers(needs)
        equal = EqualTraining(plan.fairness, space.reference(), plan.seconds)
        return cls(space, task, objectives, pruner, needs, equal)


def _check_fixed(space: Space, task: Task) -> None:
    """Raise ValueError if a variant cannot be built with what is fixed, before anything runs."""
    for config in space.pinned():
        try:
            with torch.random.fork_rng(devices=[]):
                build_model(config, task)
        except (TypeError, ValueError) as error:
            fixed = ", ".join(f"{config.variant}.{n}={v}" for n, v in config.settings.items())
            raise SearchSpaceError(f"cannot fix {fixed}: {error}") from error
