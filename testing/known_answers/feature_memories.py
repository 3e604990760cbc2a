"""Random features, continuous time, two layers of neurons and learned energies."""

from __future__ import annotations

import math

import numpy as np
import torch

from attenergy.attention import attention_weights, gradient, relax
from attenergy.energies.memories.lagrangians import LAGRANGIANS
from attenergy.energies.memories.two_layer import joint_energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single


def features_approach_distances(spec: EnergySpec) -> tuple[float, float]:
    """The error against log-sum-exp over |x - xi|^2 halves with four times as many features."""
    beta = 0.5
    xi, X = 0.5 * draw(75, 40, DIM), 0.5 * draw(76, PATTERNS, DIM)
    far = (xi[:, None] - X).square().sum(-1)
    want = -torch.log(torch.exp(-0.5 * beta * far).sum(-1)) / beta
    errors = []
    for features in (400, 1600, 6400):
        differences = [
            single(spec, features=features, seed=seed, beta=beta)(xi, X) - want
            for seed in range(32)
        ]
        errors.append(torch.stack(differences).detach().square().mean().sqrt())
    slope = float(torch.log2(errors[0] / errors[2]) / 2)
    return abs(slope - 1), 0.1


def feature_gradient(spec: EnergySpec) -> tuple[float, float]:
    """dE/dxi = sqrt(2/Y) T.sin(sqrt(beta) S xi + u) S/(sqrt(beta) phi'T) by loops over features."""
    beta, xi, X = 0.5, 0.5 * draw(77, 1, DIM), 0.5 * draw(78, PATTERNS, DIM)
    energy = single(spec, beta=beta, features=300)
    S, u = energy.get_buffer("directions"), energy.get_buffer("phases")
    top, below = torch.zeros(DIM).double(), 0.0
    for row, phase in zip(S, u, strict=True):
        angle = math.sqrt(beta) * float(row @ xi[0]) + float(phase)
        stored = sum(math.cos(math.sqrt(beta) * float(row @ x) + float(phase)) for x in X)
        top += stored * math.sin(angle) * math.sqrt(beta) * row
        below += stored * math.cos(angle)
    return error_of(gradient(energy, xi, X)[0], top / (beta * below)), 1e-12


def fine_quadrature(spec: EnergySpec) -> tuple[float, float]:
    """Least squares in numpy for x(t), and a midpoint rule of 4000 points for the integral.

    What no state sees has no time; what some see keeps its time for the others.
    """
    beta, ridge, basis = 0.7, 0.05, 5
    energy = single(spec, beta=beta, ridge=ridge, basis=basis)
    xi, X = draw(79, 3, DIM), draw(80, PATTERNS, DIM)
    seen = np.array([0, 1, 3, 4])
    nobody = torch.zeros(3, PATTERNS, dtype=torch.bool)
    nobody[:, seen] = True
    somebody = nobody.clone()
    somebody[2] = True
    every = np.arange(PATTERNS)
    middle = (np.arange(4000) + 0.5) / 4000
    error = 0.0
    for padded, places, count, hidden in (
        (every, every, PATTERNS, None),
        (seen, np.arange(4), 4, nobody),
        (seen, seen, PATTERNS, somebody),
    ):
        table = np.cos(np.pi * np.outer((places + 0.5) / count, np.arange(basis)))
        system = np.vstack([table, math.sqrt(ridge) * np.eye(basis)])
        wanted = np.vstack([X.numpy()[padded], np.zeros((basis, DIM))])
        B = np.linalg.lstsq(system, wanted, rcond=None)[0]
        signal = np.cos(np.pi * np.outer(middle, np.arange(basis))) @ B
        density = np.exp(beta * xi.numpy() @ signal.T)
        value = 0.5 * (xi * xi).sum(-1).numpy() - np.log(density.mean(-1)) / beta
        got = energy(xi, X, mask=hidden)[:2]
        error = max(error, error_of(got, torch.from_numpy(value)[:2]))
        mean = torch.from_numpy(density @ signal / density.sum(-1, keepdims=True))
        step = relax(energy, xi, X, mask=hidden, step_size=1.0).state
        error = max(error, error_of(step[:2], mean[:2]))
    return error, 1e-8  # of the midpoint rule


def one_basis_function(spec: EnergySpec) -> tuple[float, float]:
    """With a constant as the only basis function a step gives the shrunken mean of the patterns."""
    energy = single(spec, basis=1, ridge=0.5)
    xi, X = draw(81, 3, DIM), draw(82, PATTERNS, DIM)
    want = (X.sum(0) / (PATTERNS + 0.5)).expand(3, DIM)
    uniform = torch.full((3, PATTERNS), 1 / (PATTERNS + 0.5), dtype=torch.float64)
    error = error_of(relax(energy, xi, X, step_size=1.0).state, want)
    return max(error, error_of(attention_weights(energy, xi, X), uniform)), 1e-12


def hidden_layer_eliminated(spec: EnergySpec) -> tuple[float, float]:
    """Quadratic visible units and an lse hidden layer give log-sum-exp; others their own sums."""
    xi, X, field = problem(83)
    beta = 0.6
    z = beta * xi @ X.mT + field
    sums = {
        "lse": torch.log(torch.exp(z).sum(-1)),
        "quadratic": 0.5 * (z * z).sum(-1),
        "relu": 0.5 * (z.clamp_min(0) ** 2).sum(-1),
        "softplus": torch.log(1 + torch.exp(z)).sum(-1),
        "logcosh": torch.log(torch.cosh(z)).sum(-1),
    }
    error = 0.0
    for hidden, value in sums.items():
        got = single(spec, beta=beta, hidden=hidden)(xi, X, field=field)
        error = max(error, error_of(got, 0.5 * (xi * xi).sum(-1) - value / beta))
    return error, 1e-12


def envelope_gradient(spec: EnergySpec) -> tuple[float, float]:
    """E is the joint energy at z = X g, and its gradient the visible Hessian times xi - X'f."""
    xi, X, _ = problem(84)
    error = 0.0
    for visible in ("quadratic", "logcosh", "layer_norm"):
        energy = single(spec, beta=1.0, visible=visible)
        layer = LAGRANGIANS[visible]
        g = layer.activation(xi)
        z = g @ X.mT
        joint = joint_energy(xi, z, X, layer, LAGRANGIANS["lse"])
        error = max(error, error_of(energy(xi, X), joint))
        pull = xi - torch.softmax(z, -1) @ X
        want = torch.func.vjp(layer.activation, xi)[1](pull)[0]
        error = max(error, error_of(gradient(energy, xi, X), want))
    return error, 1e-12


def network_by_hand(spec: EnergySpec) -> tuple[float, float]:
    """The forward pass written with numpy for one state at a time."""
    xi, X, _ = problem(85)
    energy = single(spec, hidden=6)
    p = {name: value.detach().numpy() for name, value in energy.named_parameters()}
    value = np.zeros(xi.shape[:-1])
    for b, i in np.ndindex(*value.shape):
        pooled = np.mean([np.tanh(x @ p["pattern_in"]) for x in X[b].numpy()], axis=0)
        state = xi[b, i].numpy()
        inner = state @ p["state_in"] + pooled @ p["pattern_out"] + p["bias_in"][0]
        first = np.logaddexp(0, inner)
        inner = first @ p["between"] + state @ p["state_skip"] + p["bias_between"][0]
        value[b, i] = (np.logaddexp(0, inner) @ p["out"])[0]
    return error_of(energy(xi, X), torch.from_numpy(value)), 1e-12


def convex_where_asked(spec: EnergySpec) -> tuple[float, float]:
    """With `input_convex` E at a midpoint is at most the mean of the ends; without, not always."""
    ends, X = 3.0 * draw(86, 2, 400, DIM), draw(87, PATTERNS, DIM)
    excess = []
    for convex in (1, 0):
        energy = single(spec, input_convex=convex)
        mean = 0.5 * (energy(ends[0], X) + energy(ends[1], X))
        excess.append(float((energy(ends.mean(0), X) - mean).detach().max()))
    return (excess[0] if excess[1] > 1e-3 else math.inf), 1e-12


ANSWERS = (
    features_approach_distances,
    feature_gradient,
    fine_quadrature,
    one_basis_function,
    hidden_layer_eliminated,
    envelope_gradient,
    network_by_hand,
    convex_where_asked,
)
