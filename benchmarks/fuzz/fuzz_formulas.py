"""Random formulas: is the written derivative autograd's, and is a mask the same as deletion?

For each formula, in float64 and with heads, in value, gradient and the derivatives of both:

* what is derived from the text (the scores backend) against `torch.func.grad`, at every tenth
  formula the traced backend too;
* patterns that a mask hides against the same energy without these patterns. One is hidden from all
  states and holds NaN, one is hidden from all and large, one is hidden from a state that it
  coincides with. A state that is 0 sees nothing.

Formulas with a value or derivative that is not finite at the point, in the reference itself, are
counted apart, and so are texts that are refused with a documented error.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from random_formulas import entry, random_formula
from torch import Tensor

from attenergy.attention import gradient
from attenergy.energies import Energy, FormulaError, make_energy
from attenergy.search.runs import provenance

HEADS, STATES, PATTERNS, DIM = 2, 4, 7, 4
NEAR = {"rtol": 1e-6, "atol": 1e-7}


class Point(NamedTuple):
    """Where a formula is looked at."""

    xi: Tensor
    X: Tensor
    h: Tensor
    mask: Tensor


def point(seed: int) -> Point:
    """States, patterns, field and a mask; the last three patterns are the special ones."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*sizes: int) -> Tensor:
        return 0.7 * torch.randn(sizes, generator=generator, dtype=torch.float64)

    xi, X, h = draw(2, HEADS, STATES, DIM), draw(2, HEADS, PATTERNS, DIM), draw(STATES, PATTERNS)
    mask = torch.ones(STATES, PATTERNS, dtype=torch.bool)
    mask[0, :2] = mask[0, 4] = mask[2, 1] = False
    mask[3] = mask[:, 5:] = False
    xi[..., 3, :] = 0.0
    X[..., 4, :] = xi[..., 0, :]
    X[..., 5, :] = float("nan")
    X[..., 6, :] *= 1e5
    return Point(xi, X, h, mask)


def derivatives(value: Tensor, slope: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """A value and a gradient, and the derivatives of both."""
    aim = torch.linspace(0.5, 1.5, slope.numel(), dtype=torch.float64).reshape(slope.shape)
    results = [value, slope]
    for total in (value.sum(), (slope * aim).sum()):
        if total.requires_grad:
            results += torch.autograd.grad(
                total, leaves, retain_graph=True, materialize_grads=True, allow_unused=True
            )
        else:
            results += [torch.zeros_like(leaf) for leaf in leaves]
    return results


def seen_alone(energy: Energy, at: Point, field: bool) -> tuple[Tensor, Tensor]:
    """Value and gradient with what is hidden deleted, state by state."""
    values, slopes = [], []
    for i in range(STATES - 1):
        state, visible = at.xi[..., i : i + 1, :], at.X[..., at.mask[i], :]
        h = at.h[i : i + 1, at.mask[i]] if field else None
        values.append(energy(state, visible, field=h))
        slopes.append(gradient(energy, state, visible, field=h, backend="eager"))
    nothing = torch.zeros_like(at.xi[..., -1:, :])
    return torch.cat([*values, nothing[..., 0]], -1), torch.cat([*slopes, nothing], -2)


def differs(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> str:
    """Which of the parts differ, in words; empty if none."""
    names = ["value", "gradient"] + ["first"] * ((len(got) - 2) // 2)
    names += ["second"] * ((len(got) - 2) // 2)
    wrong = []
    for name, a, b in zip(names, got, wanted, strict=True):
        scale = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
        if not torch.allclose(a / scale, b / scale, **NEAR):
            wrong.append(name)
    return ", ".join(dict.fromkeys(wrong))


def look(formula: str, seed: int) -> str:
    """The outcome for one formula: `equal`, or what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            spec = entry(formula)
            default = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                energy = make_energy(spec, dim=DIM, num_heads=HEADS)
            finally:
                torch.set_default_dtype(default)
        except FormulaError as error:
            return f"refused: {error.message}"
        except RuntimeWarning:
            return "WRONG derivative, noticed"
    at = point(seed)
    field = seed % 2 == 0
    leaves = [at.xi, at.X, *energy.parameters()]
    for leaf in leaves:
        leaf.requires_grad_()
    wanted = derivatives(*seen_alone(energy, at, field), leaves)
    if not all(part.isfinite().all() for part in wanted):
        return "not finite at the point"
    if max(float(part.detach().abs().max()) for part in wanted) > 1e12:
        return "too large at the point"
    h = at.h if field else None
    kinds = ["eager", *(["scores"] if energy.has_weights else [])]
    kinds += ["traced"] if seed % 10 == 0 else []
    value = energy(at.xi, at.X, mask=at.mask, field=h)
    for kind in kinds:
        slope = gradient(energy, at.xi, at.X, mask=at.mask, field=h, backend=kind)
        if wrong := differs(derivatives(value, slope, leaves), wanted):
            return f"WRONG under a mask, {kind}: {wrong}"
    X = at.X.detach()[..., :4, :].requires_grad_()
    xi = at.xi.detach()[..., : STATES - 1, :].requires_grad_()
    leaves[:2], h = [xi, X], at.h[: STATES - 1, :4] if field else None
    value = energy(xi, X, field=h)
    slopes = [gradient(energy, xi, X, field=h, backend=kind) for kind in kinds]
    first, *others = (derivatives(value, slope, leaves) for slope in slopes)
    if all(part.isfinite().all() for part in first):
        for kind, got in zip(kinds[1:], others, strict=True):
            if wrong := differs(got, first):
                return f"WRONG without a mask, {kind}: {wrong}"
    return "equal, derived" if energy.has_weights else "equal, by autograd"


def fuzz(count: int, seed: int) -> dict[str, object]:
    """Count the outcomes of so many valid formulas, and list those with a wrong one."""
    outcomes: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    wrong: list[dict[str, object]] = []
    number = 0
    while outcomes.total() < count:
        formula = random_formula(random.Random(f"{seed}.{number}"))
        try:
            outcome = look(formula, number)
        except Exception as error:  # what is looked for
            outcome = f"EXCEPTION {type(error).__name__}"
            wrong.append({"number": number, "formula": formula, "error": str(error)[:300]})
        if outcome.startswith("WRONG"):
            wrong.append({"number": number, "formula": formula, "outcome": outcome})
        (refused if outcome.startswith("refused") else outcomes)[outcome] += 1
        number += 1
    return {
        "seed": seed,
        "valid": count,
        "drawn": number,
        "outcomes": dict(outcomes.most_common()),
        "refused": dict(refused.most_common()),
        "wrong": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="valid formulas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    result = fuzz(options.count, options.seed)
    result |= {"cpu_seconds": round(time.process_time() - start)}
    result |= {"machine": provenance.machine(), "versions": provenance.versions()}
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "fuzz_formulas.json"
    file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result["outcomes"], indent=1))


if __name__ == "__main__":
    main()
