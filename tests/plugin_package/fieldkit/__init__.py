"""A plug-in with one thing of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from optuna.samplers import RandomSampler
from torch import Generator, Tensor

import attenergy
from attenergy.attention.mixers import Mixer
from attenergy.attention.mixers.base import masked_softmax, scores
from attenergy.attention.solvers.base import Rest, Solver
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.trace import Record
from attenergy.energies import Domain
from attenergy.energies.language import call, elementwise
from attenergy.search.planning.pruners import MedianPruner
from attenergy.search.planning.samplers import SamplerRequest
from attenergy.tasks import Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.core.token_task import TokenTask

REGISTRY = Path(__file__).with_name("fieldkit.yaml")


@attenergy.register_energy
class Tethered(attenergy.Energy):
    r"""E = 1/2 |xi|^2 - lse(beta X xi + h)/beta, by autograd."""

    latex = r"\tfrac12\lVert\xi\rVert^2 - \tfrac1\beta\operatorname{lse}(\beta X\xi + h)"

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        beta = self.values()["beta"]
        drive = (beta * xi) @ X.mT
        drive = drive if field is None else drive + field
        drive = drive if mask is None else drive.masked_fill(~mask, -torch.inf)
        reach = (torch.logsumexp(drive, -1, keepdim=True) / beta).squeeze(-1)
        return 0.5 * (xi * xi).sum(-1) - reach


@attenergy.register_mixer
class Warm(Mixer):
    """a[i,j] = softmax_j(q_i.k_j / (2 sqrt(d)) + field)."""

    def weights(self, q: Tensor, k: Tensor, seen: Tensor | None, field: Tensor | None) -> Tensor:
        """The weights, (B, H, L, S)."""
        return masked_softmax(scores(q / 2, k, field), seen)


@attenergy.register_task
class Echo(TokenTask):
    """Say every token again, one place later."""

    splits = ("train", "valid", "test")

    def __init__(
        self,
        *,
        vocabulary: int = 4,
        length: int = 6,
        name: str = "echo",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.inputs, self.outputs = Inputs("token", vocabulary, length), Outputs(vocabulary)
        self.chance = {"accuracy": 1 / vocabulary}
        options = {"vocabulary": vocabulary, "length": length}
        super().__init__(name=name, seed=seed, split_seed=split_seed, options=options)

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` and `targets`, each (N, L)."""
        shape = (count, self.inputs.length)
        tokens = torch.randint(self.outputs.size, shape, generator=generator)
        targets = tokens.roll(1, 1)
        targets[:, 0] = -100  # nothing comes before the first
        return {"tokens": tokens, "targets": targets}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)


@attenergy.register_domain("centred")
class Centred(Domain):
    """sum_i xi_i = 0."""

    tied = True
    constrained = True
    rotation_invariant = False
    signs = False

    def project(self, xi: Tensor) -> Tensor:
        """The nearest point, xi - mean(xi)."""
        return xi - xi.mean(-1, keepdim=True)

    def project_tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """The same of a direction."""
        return self.project(v)


@attenergy.register_solver("careful")
class Careful(Solver):
    """Steps of half the size that was asked for."""

    summary = "half of every step"

    def run(
        self,
        problem: Problem,
        xi: Tensor,
        gammas: Sequence[float | Tensor],
        record: Record | None = None,
        *,
        steps: int,
    ) -> Rest:
        """Take the steps."""
        for gamma in gammas:
            slope = problem.direction(xi)
            xi = problem.moved(xi, 0.5 * gamma * slope)
            if record is not None:
                record.step(slope, xi)
        return Rest(xi)


@attenergy.register_sampler("dice")
def throw(request: SamplerRequest) -> RandomSampler:
    """Proposals at random."""
    return RandomSampler(seed=request.seed)


@attenergy.register_pruner("lenient")
class Lenient(MedianPruner):
    """The toolkit's median pruner under another name."""


def root(z: Tensor) -> Tensor:
    """sqrt(1 + z^2)."""
    return torch.sqrt(1 + z * z)


attenergy.register_function(
    attenergy.Function(
        "root",
        1,
        elementwise,
        "sqrt(1 + z^2)",
        torch=root,
        derivative=lambda z: z / call("root", z),
        tame=True,
    )
)
