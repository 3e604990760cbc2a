"""Tokens that attend to each other, and memories of spins and of layer-normed states."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from attenergy.attention import gradient, relax
from attenergy.energies import Energy
from attenergy.registry import EnergySpec
from attenergy.testing.cases import DIM, draw
from attenergy.testing.known_answers.common import PATTERNS, error_of, problem, single

_TOKENS = 5


def _binary(seed: int, *shape: int) -> Tensor:
    return torch.where(draw(seed, *shape) < 0, -1.0, 1.0).double()


def hebbian_spins(spec: EnergySpec) -> tuple[float, float]:
    """-1/2 sum_{i != j} W_ij s_i s_j by loops; the field on a spin leaves the spin itself out."""
    X, s = _binary(60, 3, DIM), _binary(61, 1, DIM)
    weights = torch.stack([torch.outer(x, x) for x in X]).sum(0) / DIM
    value = torch.zeros(1).double()
    for i, j in itertools.permutations(range(DIM), 2):
        value = value - 0.5 * weights[i, j] * s[0, i] * s[0, j]
    field = (weights - torch.diag(torch.diag(weights))) @ s[0]
    energy = single(spec)
    error = error_of(energy(s, X), value)
    return max(error, error_of(gradient(energy, s, X)[0], -field)), 1e-12


def spins_in_turn(spec: EnergySpec) -> tuple[float, float]:
    """Spins in turn come to rest where, by enumeration, turning no single one lowers E."""
    energy = single(spec, 6)
    X = _binary(62, 3, 6)
    states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=6))).double()
    rest = relax(energy, states, X, steps=12, solver="coordinate_descent").state.detach()
    error = 0.0
    for site in range(6):
        turned = rest.clone()
        turned[:, site] *= -1
        error = max(error, float((energy(rest, X) - energy(turned, X)).detach().max()))
    return error, 1e-12


def sums_over_simplices(spec: EnergySpec) -> tuple[float, float]:
    """Explicit sums over pairs and triangles, for binary and for real patterns."""
    share, s, error = 0.3, _binary(63, 1, 6), 0.0
    energy = single(spec, 6, triangles=share)
    for X in (_binary(64, 3, 6), draw(65, 3, 6)):
        y = X * s
        pairs = sum(y[:, list(c)].prod(-1).sum() for c in itertools.combinations(range(6), 2))
        triples = sum(y[:, list(c)].prod(-1).sum() for c in itertools.combinations(range(6), 3))
        want = -((1 - share) * pairs / 6 + share * triples / 36)
        error = max(error, error_of(energy(s, X), torch.as_tensor(want).expand(1)))
    return error, 1e-12


def rectified_loops(spec: EnergySpec) -> tuple[float, float]:
    """-1/2 sum relu(x.xi)^2 and its gradient -sum relu(x.xi) x, by loops."""
    xi, X, _ = problem(66)
    xi = functional.layer_norm(xi, (DIM,))
    energy = single(spec)
    value, slope = torch.zeros_like(xi[..., 0]), torch.zeros_like(xi)
    for b, i, n in itertools.product(range(2), range(xi.shape[1]), range(PATTERNS)):
        overlap = max(float(xi[b, i] @ X[b, n]), 0.0)
        value[b, i] -= 0.5 * overlap**2
        slope[b, i] -= overlap * X[b, n]
    error = max(error_of(energy(xi, X), value), error_of(gradient(energy, xi, X), slope))
    return error, 1e-12


def centred_power_iteration(spec: EnergySpec) -> tuple[float, float]:
    """With patterns in pairs +-x descent finds the leading eigenvector of C X'X C, C centring."""
    half = draw(67, 4, DIM)
    centring = torch.eye(DIM).double() - 1 / DIM
    leading = torch.linalg.eigh(centring @ half.mT @ half @ centring).eigenvectors[:, -1]
    start = functional.layer_norm(draw(68, 1, DIM), (DIM,))
    state = relax(single(spec), start, torch.cat([half, -half]), steps=400, step_size=1e6).state
    cosine = (state @ leading).abs() / math.sqrt(DIM)
    return error_of(cosine, torch.ones_like(cosine)), 1e-9


def _tokens(spec: EnergySpec, seed: int, **settings: int) -> tuple[Energy, Tensor]:
    """An energy of tokens with random maps, and tokens in its domain."""
    energy = single(spec, **settings)
    with torch.no_grad():
        for index, parameter in enumerate(energy.parameters()):
            parameter.add_(0.3 * draw(seed + index, *parameter.shape))
    return energy, energy.from_real(draw(seed + 20, _TOKENS, DIM))


def _maps(energy: Energy) -> tuple[float, Tensor, Tensor]:
    values = {n: torch.as_tensor(v).detach() for n, v in energy.values().items()}
    return float(values["beta"]), values["W_K"], values["W_Q"]


def _memories(energy: Energy) -> Tensor:
    """The learned memories (M, D), none for attention alone."""
    memories = getattr(energy, "memories", None)
    return memories.detach() if isinstance(memories, Tensor) else torch.zeros(0, DIM).double()


def energy_transformer_loops(spec: EnergySpec) -> tuple[float, float]:
    """-1/beta sum_C log sum_{B != C} exp(beta K_B . Q_C) by loops; pairs hidden as if not there."""
    energy, g = _tokens(spec, 70)
    beta, W_K, W_Q = _maps(energy)
    error = 0.0
    for mask in (
        None,
        torch.rand(_TOKENS, _TOKENS, generator=torch.Generator().manual_seed(7)) < 0.6,
    ):
        value = 0.0
        for c in range(_TOKENS):
            if mask is not None and not mask[c].any():
                continue
            seen = [b for b in range(_TOKENS) if b != c and (mask is None or bool(mask[c, b]))]
            terms = [math.exp(beta * float((W_K @ g[b]) @ (W_Q @ g[c]))) for b in seen]
            value -= math.log(sum(terms)) / beta if terms else 0.0
            value -= sum(0.5 * max(float(m @ g[c]), 0.0) ** 2 for m in _memories(energy))
        error = max(error, abs(energy(g, g, mask=mask).item() - value))
    return error, 1e-12


def query_and_key_terms(spec: EnergySpec) -> tuple[float, float]:
    """-dE/dg_A = W_Q' sum_B P_AB K_B + W_K' sum_C P_CA Q_C by loops; both terms count."""
    energy, g = _tokens(spec, 71)
    beta, W_K, W_Q = _maps(energy)
    K, Q = g @ W_K.mT, g @ W_Q.mT
    P = torch.zeros(_TOKENS, _TOKENS).double()
    for c in range(_TOKENS):
        others = [b for b in range(_TOKENS) if b != c]
        odds = [math.exp(beta * float(K[b] @ Q[c])) for b in others]
        for b, odd in zip(others, odds, strict=True):
            P[c, b] = odd / sum(odds)
    asking, queried = torch.zeros_like(g), torch.zeros_like(g)
    for a, b in itertools.product(range(_TOKENS), repeat=2):
        asking[a] += W_Q.mT @ (P[a, b] * K[b])
        queried[a] += W_K.mT @ (P[b, a] * Q[b])
    memory = torch.zeros_like(g)
    for a, m in itertools.product(range(_TOKENS), _memories(energy)):
        memory[a] += max(float(m @ g[a]), 0.0) * m
    update = -gradient(energy, g, g)
    if error_of(update, asking + memory) < 0.1:
        return math.inf, 1e-12  # the term as a key is missing
    return error_of(update, asking + queried + memory), 1e-12


def hyper_set_loops(spec: EnergySpec) -> tuple[float, float]:
    """1/beta sum_C log sum_B exp(beta w_C . w_B) - 1/2 sum |relu(Xi xi)|^2 by loops."""
    energy, g = _tokens(spec, 72, memories=3)
    values = {n: torch.as_tensor(v).detach() for n, v in energy.values().items()}
    beta, rows = float(values["beta"]), [values["W"] @ x for x in g]
    value = 0.0
    for w in rows:
        cosines = [float(w @ v) / math.sqrt(float(w @ w) * float(v @ v)) for v in rows]
        value += math.log(sum(math.exp(beta * c) for c in cosines)) / beta
    for x, m in itertools.product(g, _memories(energy)):
        value -= 0.5 * max(float(m @ x), 0.0) ** 2
    return abs(energy(g, g).item() - value), 1e-12


def two_tokens_repel(spec: EnergySpec) -> tuple[float, float]:
    """Without memories two tokens come to rest in opposite directions."""
    energy = single(spec, memories=1)
    with torch.no_grad():
        energy.get_parameter("memories").zero_()
    start = energy.from_real(draw(73, 2, DIM))
    state = relax(energy, start, start, steps=400, step_size=4.0).state
    return error_of(state[0], -state[1]), 1e-9


def causal_attention_step(spec: EnergySpec) -> tuple[float, float]:
    """A step adds causal softmax attention with keys as values and normalises; three in a row."""
    energy, g = _tokens(spec, 74)
    beta, W_K, W_Q = _maps(energy)
    want = g
    for _ in range(3):
        keys = want @ W_K.mT
        read = functional.scaled_dot_product_attention(
            (want @ W_Q.mT)[None], keys[None], keys[None], is_causal=True, scale=beta
        )[0]
        want = functional.layer_norm(want + 0.5 * read @ W_Q, (DIM,), eps=1e-15)
    got = relax(energy, g, g, steps=3, step_size=0.5).state
    return error_of(got, want), 1e-12


def _machine(spec: EnergySpec, seed: int, **settings: int) -> tuple[Energy, Tensor, Tensor]:
    """A machine over places, with its couplings and states."""
    energy = single(spec, **settings)
    return energy, energy.get_parameter("couplings").detach(), draw(seed, _TOKENS, DIM)


def place_rbm_loops(spec: EnergySpec) -> tuple[float, float]:
    """sum_d [1/2 sum_i xi_id^2 - sum_k log cosh(sum_i W_ki xi_id)] by loops; some states hidden."""
    energy, W, g = _machine(spec, 75, hidden=3, length=_TOKENS + 2)

    def value(chosen: list[int]) -> float:
        total = 0.5 * sum(float(g[i, d]) ** 2 for i in chosen for d in range(DIM))
        for k, d in itertools.product(range(3), range(DIM)):
            drive = sum(float(W[k, place] * g[i, d]) for place, i in enumerate(chosen))
            total -= math.log(math.cosh(drive))
        return total

    mask = torch.tensor([True, False, True, True, False])
    pairs = mask[:, None] & mask
    error = abs(energy(g, g).item() - value([0, 1, 2, 3, 4]))
    return max(error, abs(energy(g, g, mask=pairs).item() - value([0, 2, 3]))), 1e-12


def hidden_units_of_places(spec: EnergySpec) -> tuple[float, float]:
    """-log of the mean of exp(-1/2 |x|^2 + h'Wx) over all h in {-1, 1}^hidden, per component."""
    energy, W, g = _machine(spec, 76, hidden=4, length=_TOKENS)
    value = torch.zeros((), dtype=g.dtype)
    for x in g.unbind(-1):
        units = itertools.product((-1.0, 1.0), repeat=4)
        terms = [torch.tensor(h).to(W) @ W @ x - 0.5 * x @ x for h in units]
        value = value - torch.stack(terms).exp().mean().log()
    return error_of(energy(g, g).detach(), value), 1e-12


def tied_token_mixing(spec: EnergySpec) -> tuple[float, float]:
    """A step of size 1 ends at W' tanh(W xi), one of half the size half of the way there."""
    energy, W, g = _machine(spec, 77, hidden=3, length=_TOKENS)
    mixed = W.mT @ torch.tanh(W @ g)
    whole = relax(energy, g, g, steps=1, step_size=1.0).state.detach()
    half = relax(energy, g, g, steps=1, step_size=0.5).state.detach()
    return max(error_of(whole, mixed), error_of(half, 0.5 * (g + mixed))), 1e-12


ANSWERS = (
    hebbian_spins,
    spins_in_turn,
    sums_over_simplices,
    rectified_loops,
    centred_power_iteration,
    energy_transformer_loops,
    query_and_key_terms,
    hyper_set_loops,
    two_tokens_repel,
    causal_attention_step,
    place_rbm_loops,
    hidden_units_of_places,
    tied_token_mixing,
)
