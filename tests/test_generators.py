"""A generator alone decides what is drawn; nothing is drawn from torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attenergy.attention import (
    AssociativeMemory,
    contrastive_divergence,
    langevin,
    make_layer,
    relax,
)
from attenergy.attention.models.language_model import LanguageModel
from attenergy.energies import RestrictedBoltzmann, make_energy, sample
from attenergy.registry import EnergySpec, load_registry

REGISTRY = load_registry(plugins=False)
BALLS = EnergySpec(title="balls", formula="-log(sum_n(relu(1 - 0.5*sqdist(X, xi))))")
SPINS = EnergySpec(title="spins", formula="-0.5*sum_n((X @ xi)^2)", domain="spin")


def points(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def machine(visible: str = "gaussian") -> RestrictedBoltzmann:
    model = RestrictedBoltzmann(4, 3, visible=visible, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        model.weights.mul_(50)
    return model


def lse():
    return make_energy("lse", dim=4, registry=REGISTRY)


def sphere():
    return make_energy("polynomial", dim=4, registry=REGISTRY)


def model() -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return LanguageModel(
            vocabulary=7, length=9, layers=1, width=8, heads=2, mlp=12,
            make_layer=lambda **more: make_layer("softmax", embed_dim=8, num_heads=2, **more),
        )  # fmt: skip


DRAWS = {
    "a mixture of Gaussians": lambda g: sample(lse(), points(5, 4), 9, generator=g),
    "a mixture on balls": lambda g: sample(make_energy(BALLS, dim=4), points(5, 4), 9, generator=g),
    "weights of a machine": lambda g: RestrictedBoltzmann(4, 3, generator=g).weights.detach(),
    "hidden units": lambda g: machine().hidden_given(points(9, 4), generator=g),
    "visible numbers": lambda g: machine().visible_given(points(9, 3).sign(), generator=g),
    "visible bits": lambda g: machine("binary").visible_given(points(9, 3).sign(), generator=g),
    "Gibbs": lambda g: machine().block_gibbs(points(9, 4), steps=3, generator=g),
    "contrastive divergence": lambda g: machine().contrastive_divergence(
        points(9, 4), steps=2, generator=g
    )[1],
    "Langevin": lambda g: langevin(
        lse(), points(9, 4), points(5, 4), steps=3, step_size=0.1, generator=g
    ).state,
    "Langevin, corrected": lambda g: langevin(
        lse(), points(9, 4), points(5, 4), steps=3, step_size=0.9, metropolis=True, generator=g
    ).state,
    "the solver of noisy steps": lambda g: relax(
        lse(), points(9, 4), points(5, 4), steps=3, solver="langevin", temperature=0.5, generator=g
    ).state,
    "spins in random order": lambda g: AssociativeMemory(SPINS, dim=12).store(
        points(4, 12).sign()
    ).recall(points(30, 12).sign(), steps=1, seed=g.initial_seed()).state,
    "chains of spins": lambda g: contrastive_divergence(
        make_energy(SPINS, dim=4), points(9, 4).sign(), points(5, 4), temperature=1.0, generator=g
    ).chains,
    "chains on a sphere": lambda g: contrastive_divergence(
        sphere(), sphere().project(points(9, 4)), points(5, 4), generator=g
    ).chains,
    "text": lambda g: model().generate(torch.tensor([[1, 2]] * 4), 6, generator=g),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:the derivative of 'balls'")  # log 0 outside every ball
@pytest.mark.parametrize("what", DRAWS)
def test_a_generator_alone_decides(what: str) -> None:
    draw = DRAWS[what]
    draws = []
    for own, seed in ((0, 3), (1, 3), (0, 4)):
        torch.manual_seed(own)
        before = torch.get_rng_state()
        draws.append(draw(torch.Generator().manual_seed(seed)))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
