"""Every head of a model iterated to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from attenergy.analysis.attractors.heads import HeadFixedPoints, Settings, head_fixed_points
from attenergy.analysis.attractors.rest import no_rest
from attenergy.analysis.attractors.result import FixedPoints
from attenergy.analysis.calls import AttentionCall, attention_calls
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Subject
from attenergy.attention.modules.arguments import check_positive, check_whole
from attenergy.registry import AnalysisError


def fixed_points(
    model: nn.Module,
    /,
    *inputs: Any,
    untrained: nn.Module | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 200,
    states: int = 1024,
    samples: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
    **arguments: Any,
) -> FixedPoints:
    r"""Iterate every head of a model to rest, and say what its states rest on.

    In one forward pass, `model(*inputs, **arguments)`, each head's states xi take the step of the
    head's energy, xi <- xi - gamma/A grad E(xi; X), until they rest. Softmax attention is read as
    one step down the log-sum-exp energy (`attention_calls`). At rest,

        k       smallest number of patterns that hold 90 % of the weight. Of N in sight, k > N/2 is
                a global average (I), N/8 < k <= N/2 a large (II), N/32 < k <= N/8 a medium (III)
                and 1 < k <= N/32 a small subset (IV), k = 1 a single pattern
        radius  spectral radius of the update's Jacobian, by power iteration
        Delta   separation x_i'x_i - max_j x_i'x_j of the patterns
        basin   share of starts at a distance from the fixed point that end in it, and of random
                ones

    States that are still moving, that go to and fro between two points, or that diverge are counted
    as such, and in no class.

    Args:
        model: with attention of ours, of Hugging Face or of PyTorch; unchanged.
        *inputs: its own.
        untrained: the model as it was before training, to be shown beside.
        tolerance: a state rests when a step moves it by at most this share of its length; not finer
            than 8 units of rounding of its type.
        max_steps: most steps.
        states: most states of a head that are iterated, drawn at random; an eighth of it for
            energies that move one site after the other.
        samples: states of a head at whose fixed points radius and basins are measured; where states
            interact, samples, of which 2 at most.
        seed: of all that is drawn.
        progress: called with what is done, how much, of how much.
        **arguments: the model's own.

    Raises:
        ValueError: the model has no attention that is known here, none of it has an energy, or a
            number is out of range.

    Example:
        >>> encoder = torch.nn.TransformerEncoderLayer(32, 4, batch_first=True)
        >>> attenergy.analysis.fixed_points(encoder, torch.randn(2, 20, 32)).heads[0].kind
        'global average'

    Source: Ramsauer et al. 2020, arXiv:2008.02217 (classes; fixed points of heads).
    """
    check_positive("tolerance", tolerance)
    for name, number in (("max_steps", max_steps), ("states", states), ("samples", samples)):
        check_whole(name, number, 1)
    settings = Settings(
        tolerance=tolerance, max_steps=max_steps, states=states, samples=samples, seed=seed
    )
    models = [model] if untrained is None else [model, untrained]
    heads: list[Sequence[HeadFixedPoints]] = []
    missing: dict[str, str] = {}
    for index, one in enumerate(models):
        calls = attention_calls(one, *inputs, **arguments)
        reasons = {call.name: why for call in calls if (why := _no_rest(call))}
        if len(reasons) == len(calls):
            raise AnalysisError(
                f"no head of {type(one).__name__} has fixed points: "
                + "; ".join(f"{name}: {why}" for name, why in reasons.items())
            )
        missing = missing or reasons
        heads.append(_of_calls(calls, reasons, settings, progress, (index, len(models))))
    return FixedPoints(heads[0], heads[1] if untrained is not None else (), missing, settings)


def fixed_points_of(
    subject: Subject, options: Mapping[str, Any], progress: Progress | None = None
) -> FixedPoints:
    """`fixed_points` of a subject's first batch, as the catalogue runs it."""
    inputs, arguments = subject.batches[0]
    beside = subject.untrained if options.get("untrained", True) else None
    given = {**options, "untrained": beside, "seed": subject.seed}
    return fixed_points(subject.model, *inputs, progress=progress, **given, **arguments)


def _of_calls(
    calls: Sequence[AttentionCall],
    reasons: Mapping[str, str],
    settings: Settings,
    progress: Progress | None,
    turn: tuple[int, int],
) -> list[HeadFixedPoints]:
    """The heads of all calls with an energy, one call after the other."""
    heads: list[HeadFixedPoints] = []
    first, total = turn[0] * len(calls), turn[1] * len(calls)
    for index, call in enumerate(calls):
        if progress is not None:
            progress(f"fixed points of {call.name}", first + index, total)
        if call.name not in reasons:
            heads += head_fixed_points(call, settings)
    if progress is not None:
        progress("fixed points", first + len(calls), total)
    return heads


def _no_rest(call: AttentionCall) -> str:
    """Why the heads of a call cannot be iterated to rest; empty if they can."""
    if call.problem is None or call.start is None:
        return call.missing
    if call.start.ndim != 4:
        return f"its states {tuple(call.start.shape)} are not (batch, heads, states, width)"
    if not call.start.numel():
        return "it has no states"
    return no_rest(call.problem)
