from __future__ import annotations

import json
from typing import get_args

import optuna
import pytest
import torch
from torch import nn

from attenergy.attention import Transformer
from attenergy.energies import Energy, make_energy
from attenergy.registry import TrainingSpec
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import build_model
from attenergy.search.training.optimizers import RECIPES, Optimizers, make_optimizers
from attenergy.tasks import make_task


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.full((2, 3), 2.0))
        self.bias = nn.Parameter(torch.full((3,), 2.0))
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.full((2, 2), 2.0), requires_grad=False)
        self.energy = make_energy("lse", dim=4, num_heads=2)


def factors(model: nn.Module, optimizers: Optimizers) -> dict[str, float]:
    """By what one update without any gradient multiplies each parameter."""
    before = {name: value.clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step()
    after = dict(model.named_parameters())
    ratios = {
        name: after[name][before[name] != 0] / before[name][before[name] != 0] for name in after
    }
    return {name: ratio.mean().item() for name, ratio in ratios.items() if ratio.numel()}


def test_every_name_of_the_registry_is_a_recipe() -> None:
    assert set(get_args(TrainingSpec.model_fields["optimizer"].annotation)) == set(RECIPES)


def test_decay_spares_vectors_and_energies() -> None:
    model = Parts()
    training = TrainingSpec(steps=10, weight_decay=0.5, learning_rate=0.1)
    moved = factors(model, make_optimizers(model, training))
    inverse_temperature = next(name for name in moved if name.startswith("energy"))
    assert moved == pytest.approx(
        {"matrix": 0.95, "scalar": 0.95, "bias": 1.0, "frozen": 1.0, inverse_temperature: 1.0}
    )


def test_one_update_is_adams() -> None:
    """The first Adam step moves by lr * g / (|g| + eps), whatever the gradient's size."""
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    before = model.weight.detach().clone()
    training = TrainingSpec(steps=10, weight_decay=0.1, learning_rate=0.01)
    gradient = torch.tensor([[3.0, -0.02]], dtype=torch.float64)
    model.weight.grad = gradient
    make_optimizers(model, training).step()
    moved = -0.01 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(model.weight.detach(), before * (1 - 0.01 * 0.1) + moved)


def test_all_rates_follow_one_schedule_to_their_own_peaks() -> None:
    model = nn.Linear(3, 3)
    slow, fast = torch.optim.SGD([model.bias], lr=0.1), torch.optim.SGD([model.weight], lr=0.4)
    optimizers = Optimizers(slow, fast)
    for step, share in ((0, 0.0), (5, 0.5), (10, 1.0), (50, 0.55), (95, 0.1)):
        optimizers.schedule(step, warmup=10, total=100)
        rates = [group["lr"] for group in optimizers.groups]
        assert rates == pytest.approx([0.1 * share, 0.4 * share])


@pytest.fixture
def small(registry, make_plan) -> tuple[RunConfig, Transformer]:
    fix = {"optimizer": "muon", "muon_learning_rate": 0.01, "weight_decay": 0.5}
    plan = make_plan(variants=("lse",), baseline="lse", fix=fix)
    config = Space(registry, plan).reference()
    task = make_task(config.task_spec)
    model = build_model(config, task)
    assert isinstance(model, Transformer)
    return config, model


def test_muon_trains_the_matrices_of_the_blocks(small) -> None:
    config, model = small
    moved = factors(model, make_optimizers(model, config.training))
    matrices = {name for name, factor in moved.items() if factor != pytest.approx(1.0)}
    linear = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("blocks.")
    }
    tables = {n for n, _ in model.named_parameters() if n.startswith("blocks.") and "table" in n}
    assert tables
    assert matrices == linear | tables
    assert all(moved[name] == pytest.approx(1 - 0.01 * 0.5) for name in matrices)


def test_an_update_of_muon_has_no_weak_direction(small) -> None:
    config, model = small
    name, weight = next((n, p) for n, p in model.named_parameters() if n.endswith("query.weight"))
    before = weight.detach().clone()
    left, right = torch.randn(len(weight), 2), torch.randn(2, weight.shape[1])
    scales = torch.diag(torch.tensor([1.0, 1e-2]))
    weight.grad = left @ scales @ right  # two directions, one a hundred times weaker
    make_optimizers(model, config.training).step()
    update = before * (1 - 0.01 * 0.5) - weight.detach()
    strengths = torch.linalg.svdvals(update)
    assert strengths[1] > 0.4 * strengths[0], name


def test_the_energys_own_parameters_are_not_decayed(small) -> None:
    config, model = small
    own = {
        f"{name}.{inner}"
        for name, module in model.named_modules()
        if isinstance(module, Energy)
        for inner, _ in module.named_parameters()
    }
    assert own
    moved = factors(model, make_optimizers(model, config.training))
    assert all(moved.get(name, 1.0) == pytest.approx(1.0) for name in own)


def test_runs_of_earlier_days_keep_their_keys(make_config) -> None:
    config = make_config("softmax")
    data = json.loads(config.model_dump_json(by_alias=True))
    for training in (data["training"], data["task_spec"]["training"]):
        del training["optimizer"], training["muon_learning_rate"]
    assert RunConfig.model_validate(data).run_key() == config.run_key()
    assert make_config("softmax", optimizer="muon").run_key() != config.run_key()
    other = make_config("softmax", optimizer="muon", muon_learning_rate=0.1)
    assert other.run_key() != make_config("softmax", optimizer="muon").run_key()


def test_a_rate_of_muon_is_proposed_where_muon_trains(registry, make_plan) -> None:
    spans = dict(registry.spaces["tiny"])
    spans["optimizer"] = spans["heads"].model_copy(update={"choices": ("adamw", "muon")})
    spans["muon_learning_rate"] = spans["learning_rate"]
    registry.spaces["tiny"] = spans
    space = Space(registry, make_plan())
    values = {"variant": "softmax", "heads": 2, "learning_rate": 3e-3, "muon_learning_rate": 2e-3}
    for optimizer, rate in (("adamw", 0.02), ("muon", 2e-3)):
        trial = optuna.trial.FixedTrial({**values, "optimizer": optimizer})
        assert space.suggest(trial).training.muon_learning_rate == rate
        assert ("muon_learning_rate" in trial.params) == (optimizer == "muon")


def test_a_rate_of_muon_without_muon_is_refused(registry, make_plan) -> None:
    with pytest.raises(ValueError, match="fix optimizer=muon as well"):
        Space(registry, make_plan(fix={"muon_learning_rate": 0.01}))
    with pytest.raises(ValueError, match=r"cannot fix optimizer to 'muom'.*adamw"):
        Space(registry, make_plan(fix={"optimizer": "muom"}))
    space = Space(registry, make_plan(fix={"muon_learning_rate": 0.01, "optimizer": "muon"}))
    assert space.reference().training.muon_learning_rate == 0.01
