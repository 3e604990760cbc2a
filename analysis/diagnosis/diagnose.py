"""`diagnose`: the laws of attention on a trained model, head by head, with advice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis.calls import OWN, AttentionCall, attention_calls
from attenergy.analysis.diagnosis.derivatives import curl_of_update, factors, signal, some_states
from attenergy.analysis.diagnosis.diagnosis import Diagnosis, LayerFacts
from attenergy.analysis.diagnosis.facts import HeadFacts
from attenergy.analysis.diagnosis.layer_curl import curl_of_layer, inputs_of
from attenergy.analysis.diagnosis.rules import advise
from attenergy.analysis.diagnosis.weights_and_patterns import descent, of_patterns, of_weights
from attenergy.analysis.result import Progress
from attenergy.attention.integrations.huggingface.interface import HEADS
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.modules.arguments import check_module, check_whole
from attenergy.attention.solvers.catalogue import SOLVERS
from attenergy.attention.solvers.guarantee import Terms
from attenergy.attention.solvers.step_sizes import StepSize


def diagnose(
    model: nn.Module,
    *inputs: Any,
    untrained: nn.Module | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **arguments: Any,
) -> Diagnosis:
    """The laws on every attention layer and head, while `model(*inputs, **arguments)` runs.

    For each head: how sharp its weights are, whether its steps descend, whether they contract, the
    curl of its update, how much the query counts against the patterns, what the patterns are like,
    and beta, with its move in training if `untrained` is given. `Diagnosis.advice` has a sentence
    for each of the `RULES` that a layer meets, and none for a healthy model.

        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, beta=200.0))
        >>> result = attenergy.analysis.diagnose(model, 5 * torch.randn(2, 8, 16))
        >>> sorted({line.rule for line in result.advice})
        ['saturated']

    Derivatives are taken of 48 states of two samples in every layer, drawn by the seed, except
    where states act on each other; all else is of all states.

    Args:
        model: as for `attention_calls`: of the toolkit, energized or plain from Hugging Face, or
            with `nn.MultiheadAttention`. Softmax attention is read as one step of log-sum-exp.
        *inputs: of the model.
        untrained: the model as it was before training.
        seed: of the states and vectors that are drawn.
        progress: is called with what is done.
        **arguments: of the model.

    Raises:
        TypeError: the model is no module.
        ValueError: it has no attention that can be read.
    """
    seed = check_whole("seed", seed, 0)
    if untrained is not None:
        check_module("untrained", untrained)
    calls = attention_calls(model, *inputs, **arguments)
    before = {} if untrained is None else _betas(untrained, inputs, arguments)
    entered = inputs_of(model, [call.layer for call in calls], inputs, arguments)
    heads, layers = [], []
    for number, call in enumerate(calls):
        if progress is not None:
            progress("laws", number, len(calls))
        generator = torch.Generator().manual_seed(seed + number)
        layer_curl = math.nan
        if call.layer in entered:
            layer_curl = curl_of_layer(call.layer, entered[call.layer], generator)
        layers.append(LayerFacts(call.name, str(call).removeprefix(f"{call.name}: "), layer_curl))
        heads += _heads(call, before.get(call.name), generator)
    if progress is not None:
        progress("laws", len(calls), len(calls))
    return Diagnosis(tuple(heads), tuple(layers), advise(heads))


def _heads(
    call: AttentionCall, beta_before: Tensor | None, generator: torch.Generator
) -> list[HeadFacts]:
    """The facts of every head of a call."""
    measured: dict[str, Tensor] = {}
    common: dict[str, Any] = {"reading": call.reading, "step_size": call.step_size}
    if call.weights is not None:
        mask = None if call.problem is None else call.problem.mask
        measured |= of_weights(call.weights, mask)
    if call.problem is not None:
        measured |= _of_problem(call, common, generator)
        measured |= {} if beta_before is None else {"beta_at_start": beta_before}
    count = _count(call)
    each = {key: _per_head(value, count) for key, value in measured.items()}
    own: list[dict[str, Any]] = [
        {key: values[head] for key, values in each.items()} for head in range(count)
    ]
    return [HeadFacts(call.name, head, **common, **own[head]) for head in range(count)]


def _of_problem(
    call: AttentionCall, common: dict[str, Any], generator: torch.Generator
) -> dict[str, Tensor]:
    """What only a call with an energy has; adds to what all of its heads share."""
    energy, problem, relaxation = call.energy, call.problem, call.relaxation
    assert energy is not None
    assert problem is not None
    assert relaxation is not None
    layer = _energy_layer(call)
    solver = "descent" if layer is None else layer.solver
    gamma = _step_size(call, layer)
    largest = energy.largest_step_size()
    common |= {
        "energy": energy.spec.title,
        "solver": "" if layer is None else layer.solver,
        "moves": 0 if relaxation.states is None else len(relaxation.states) - 1,
        "step_size": float(torch.as_tensor(gamma).max()),
        "no_guarantee": SOLVERS[solver].no_guarantee(Terms(energy, (gamma,))),
        "largest_step_size": math.nan if largest is None else largest,
        "beta_learned": call.reading == OWN and _beta_learned(call),
    }
    measured = {"descent": descent(call, gamma, solver)}
    beta = _beta(call)
    if beta is not None:
        measured["beta"] = beta
    if energy.reads_patterns:
        measured |= of_patterns(problem)
    if energy.domain.discrete:
        return measured  # steps are signs: no derivatives
    smaller, start, end = some_states(call, generator)
    if energy.reads_patterns or energy.states_interact:  # else every state has an energy of its own
        measured["curl"] = curl_of_update(smaller, start, generator)
    measured["factor"], measured["factor_high"] = factors(smaller, end, gamma, solver, generator)
    choice = energy.reads_patterns and problem.X.shape[-2] > 1
    if choice and solver not in ("fixed_point", "langevin"):
        by_state = layer is not None and layer.read == "state"
        if by_state or energy.has_weights:
            measured["signal"] = signal(layer, smaller, start, generator)
    return measured


def _energy_layer(call: AttentionCall) -> EnergyLayer | None:
    """The layer that takes the steps: itself, or the heads inside a module that was exchanged."""
    inside = (call.layer, getattr(call.layer, HEADS, None), getattr(call.layer, "heads", None))
    return next((part for part in inside if isinstance(part, EnergyLayer)), None)


def _step_size(call: AttentionCall, layer: EnergyLayer | None) -> StepSize:
    """Gamma of the last step, as learned."""
    if layer is None or layer.learned_step_size is None:
        return call.step_size
    with torch.no_grad():
        gamma: Tensor | list[Tensor] = layer.learned_step_size()
    return gamma[-1] if isinstance(gamma, list) else gamma


def _beta(call: AttentionCall) -> Tensor | None:
    values = {} if call.energy is None else call.energy.values()
    if "beta" not in values:
        return None
    return torch.as_tensor(values["beta"]).detach().double().flatten().cpu()


def _beta_learned(call: AttentionCall) -> bool:
    assert call.energy is not None
    raw = call.energy.parameters_.raw
    return "beta" in raw and raw["beta"].requires_grad


def _betas(
    untrained: nn.Module, inputs: tuple[Any, ...], arguments: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Beta of every layer before training, by its name."""
    betas = {call.name: _beta(call) for call in attention_calls(untrained, *inputs, **arguments)}
    return {name: beta for name, beta in betas.items() if beta is not None}


def _count(call: AttentionCall) -> int:
    """H."""
    if call.start is not None:
        return call.start.shape[1]
    if call.weights is not None:
        return call.weights.shape[1]
    return int(getattr(call.layer, "num_heads", 1))


def _per_head(values: Tensor, count: int) -> list[float]:
    flat = values.detach().double().flatten().cpu()
    return [float(flat[0 if len(flat) == 1 else head]) for head in range(count)]
