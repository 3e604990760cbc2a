"""What can be said of an entry without training it."""

from __future__ import annotations

import inspect
import re

from attenergy.energies.domains import domain_of, guarantee_of
from attenergy.energies.factory import class_of
from attenergy.energies.formula import formula_tree
from attenergy.energies.language import score_form, to_latex
from attenergy.registry import EnergySpec

#: What the text of an update calls by a letter.
_SHORT = {"s": "X @ xi", "q": "|xi|^2"}


def describe(spec: EnergySpec) -> dict[str, str | bool]:
    """What the compiler makes of an entry.

    Returns:
        `formula` (of a class: the first paragraph of its description), `latex`, `update` (as text),
        `safe_steps` (step sizes that never raise E), `score_path` (weights are derived once),
        `closed_form` (so is the gradient, with weights or without) and `attention` (one step
        reaches `scaled_dot_product_attention`).

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> describe(registry.energies["lse"])["score_path"]
        True
    """
    if spec.formula is None:
        cls = class_of(spec)
        paragraph = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
        return {
            "formula": " ".join(paragraph.split()),
            "latex": cls.latex,
            "update": "-grad_xi E",
            "safe_steps": _safe_steps(spec),
            "score_path": bool(cls.has_weights),
            "closed_form": bool(cls.has_weights or cls.has_coupling),
            "attention": False,
        }
    tree = formula_tree(spec)
    form = score_form(tree)
    update = "-grad_xi E, by autograd"
    if form is not None:
        radial = str(form.radial)
        start = {"0": "", "1": "-xi + "}.get(radial, f"-({radial})*xi + ")
        update = f"{start}X' @ [{form.weights}]"
        used = [
            f"{name} = {text}" for name, text in _SHORT.items() if re.search(rf"\b{name}\b", update)
        ]
        update += f"   with {', '.join(used)}" if used else ""
    return {
        "formula": spec.formula,
        "latex": to_latex(tree),
        "update": update,
        "safe_steps": _safe_steps(spec),
        "score_path": form is not None,
        "closed_form": form is not None,
        "attention": form is not None and form.attention is not None,
    }


def _safe_steps(spec: EnergySpec) -> str:
    guarantee = guarantee_of(spec)
    if guarantee == "none":
        return "no promise"
    largest = domain_of(spec).largest_step
    span = {2.0: "0 to 2", 1.0: "0 to 1"}.get(largest, "any")
    return span if guarantee == "parallel" else f"{span}, one site at a time"
