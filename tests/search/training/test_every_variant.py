"""Every entry of the registry can take part in a search: it trains, is costed and is scored."""

from __future__ import annotations

import optuna
import pytest

from attenergy.registry import load_registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.training.train import train

REGISTRY = load_registry(plugins=False)


#: One of each kind; the others when asked.
QUICK = {
    *("lse", "sparsemax", "rbm", "graph_memory", "ising_mean_field", "causal_tokens", "learned"),
    *("softmax", "hyla", "aaren", "low_rank", "window"),
}
VARIANTS = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in [*REGISTRY.energies, *REGISTRY.mixers]
]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_short_run_is_complete(name: str) -> None:
    plan = SearchPlan(
        study="one", folder="unused", task="stacked-recall", variants=(name,), train_steps=3,
        task_options={"vocabulary": 32, "pairs": 4}, fix={"width": 16, "heads": 2},
    )  # fmt: skip
    space = Space(REGISTRY, plan)
    study = optuna.create_study()
    study.enqueue_trial(space.defaults(name))
    config = space.suggest(study.ask())
    assert config.variant == name
    training = config.training.model_copy(update={"valid_instances": 32, "test_instances": 32})
    record = train(config.model_copy(update={"training": training}))
    assert record.status == "complete", record.reason
    assert record.cost["forward_flops"] > 0
    assert 0 <= record.metrics["test"]["accuracy"] <= 1
