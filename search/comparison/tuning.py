"""Equal tuning: the same values of the training, tried by every variant with one seed."""

from __future__ import annotations

import math
from itertools import product

from attenergy.registry import Registry, Scalar
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results.tuning import at_an_edge
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.tasks import Task


def grid_of(plan: ComparePlan) -> dict[str, tuple[Scalar, ...]]:
    """What is tuned: quantity -> values."""
    rates = {"learning_rate": plan.learning_rates} if plan.learning_rates else {}
    return {**rates, **plan.tune}


def tuned_runs(plan: ComparePlan, registry: Registry, variant: str) -> list[RunConfig]:
    """The runs of a variant with every combination of the values that are tuned, each once.

    A rate of Muon is left as it is where AdamW does all the work.

    Raises:
        UnknownName: a quantity is none of the training.
        ValueError: a value does not fit.
    """
    grid = grid_of(plan)
    combinations = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
    runs = [configure(plan, registry, variant, each) for each in combinations]
    plain = configure(plan, registry, variant)
    if not plain.training.steps:  # it is not trained: tuning would change nothing
        return [plain]
    unused = {"muon_learning_rate": plain.training.muon_learning_rate}
    distinct = {}
    for run in runs:
        if run.training.optimizer != "muon":
            training = run.training.model_copy(update=unused)
            run = run.model_copy(update={"training": training})  # noqa: PLW2901
        distinct[run.run_key()] = run
    return list(distinct.values())


def best_run(
    configs: list[RunConfig], store: RunStore, task: Task, listener: Listener
) -> RunConfig:
    """The run with the best validation score; warns if a wider grid might have done better."""
    if len(configs) == 1:
        return configs[0]
    scores = [_score(config, store, task) for config in configs]
    best = configs[max(range(len(configs)), key=scores.__getitem__)]
    if math.isinf(max(scores)):
        listener.message(
            f"{best.variant}: no run of the tuning gave a score; going on with the first"
        )
        return best
    for text in at_an_edge(best, configs):
        listener.message(text)
    return best


def notices(plan: ComparePlan, config: RunConfig) -> list[str]:
    """What to say before anything runs: where the plan does not mean what it may seem to.

    Args:
        plan: of the comparison.
        config: a run of it, with the choosing seed.
    """
    names = grid_of(plan)
    training = config.training
    if not training.steps:
        ignored = [*(["steps"] if plan.steps else []), *names]
        text = f"{plan.task} is not trained: {', '.join(ignored)} left as they are"
        return [text] if ignored else []
    of_matrices = training.muon_learning_rate
    rates = {"learning_rate", "muon_learning_rate"} & names.keys()
    if training.optimizer != "muon" and "muon_learning_rate" in rates and "optimizer" not in names:
        return [f"{plan.task} is trained by AdamW: muon_learning_rate is left as it is"]
    if training.optimizer == "muon" and rates == {"learning_rate"}:
        return [
            "learning_rate is AdamW's alone, for what is no matrix of a block; all matrices have "
            f"the muon_learning_rate {of_matrices:g} (--tune muon_learning_rate=.01,.02,.04)"
        ]
    return []


def _score(config: RunConfig, store: RunStore, task: Task) -> float:
    record = store.get(config.run_key())
    if record is None or record.status != "complete":
        return -math.inf
    return record.metrics.get("valid", {}).get(task.metric, -math.inf)
