"""An energy and its update, as the registry types them and as LaTeX."""

from __future__ import annotations

from attenergy.energies import describe
from attenergy.energies.factory import class_of
from attenergy.energies.formula import formula_tree
from attenergy.energies.language import (
    FUNCTIONS,
    XI,
    Call,
    Expr,
    NotDerivable,
    ScoreForm,
    differentiate,
    score_form,
    simplify,
    to_latex,
)
from attenergy.registry import EnergySpec
from attenergy.testing.docs_pages.markdown import bullets, display, fence, paragraphs, plain, prose

#: Functions that need no explanation.
_USUAL = frozenset(
    ["add", "mul", "pow", "matmul", "transpose", "sumsq", "norm", "exp", "log", "sqrt", "sum_n"]
) | {"count_d", "count_n", "max_n", "sum_d", "mean_n", "mean_d"}
_LEGEND = (
    "$\\xi$ is the state, the rows of $X$ are the stored patterns, $h$ is the field (0 where none "
    "is given). Functions and powers act on each number; lengths of $X$ are those of its rows."
)
_DERIVED = "The language derives it, and it is compared with automatic differentiation."


def energy_formula(spec: EnergySpec) -> str:
    """The energy as it is typed, and as LaTeX."""
    said = describe(spec)
    parts = []
    if spec.formula is not None:
        parts.append("As the registry types it:\n\n" + fence(str(said["formula"])))
    else:
        cls = class_of(spec)
        name = f"The class `{spec.class_}` of `{cls.__module__}`:"
        parts.append(f"{name}\n\n" + fence(paragraphs(cls)[0]))
    read = ["X"] * class_of(spec).reads_patterns + ["h"] * class_of(spec).reads_field
    given = r";\, " + ", ".join(read) if read else ""
    left = rf"E(\xi{given}) = "
    parts.append(display(left + str(said["latex"])))
    if spec.choices:
        shown = ", ".join(f"`{name}` = `{choice.default}`" for name, choice in spec.choices.items())
        parts.append(f"Written out for {shown}.\n")
    if spec.formula is not None:
        parts += [_LEGEND + "\n", _functions(formula_tree(spec))]
    return "\n".join(part for part in parts if part)


def _functions(tree: Expr) -> str:
    """What the functions in a formula are."""
    names = sorted({call.function for call in _calls(tree)} - _USUAL)
    return bullets(f"`{name}`: {plain(FUNCTIONS[name].doc)}" for name in names)


def _calls(expr: Expr) -> list[Call]:
    if not isinstance(expr, Call):
        return []
    return [expr, *(call for arg in expr.args for call in _calls(arg))]


def functions_of(spec: EnergySpec) -> frozenset[str]:
    """The functions that a formula calls; none of a class."""
    if spec.formula is None:
        return frozenset()
    return frozenset(call.function for call in _calls(formula_tree(spec)))


def update(spec: EnergySpec) -> str:
    """The direction of a step, minus the gradient, as far as the language writes it."""
    if spec.formula is None:
        return _of_class(spec)
    tree = formula_tree(spec)
    form = score_form(tree)
    if form is not None:
        return _through_scores(form)
    try:
        gradient = differentiate(tree, XI)
    except NotDerivable:
        return (
            "Minus the gradient of the formula, by automatic differentiation "
            "(`torch.func.grad`) in every step: the language writes no derivative for it.\n"
        )
    return display(rf"-\nabla_\xi E = {to_latex(simplify(-1.0 * gradient))}") + f"\n{_DERIVED}\n"


def _through_scores(form: ScoreForm) -> str:
    """The update by radial factor and weights."""
    radial, weights = to_latex(form.radial), to_latex(form.weights)
    start = {"0": "", "1": r"-\xi + "}.get(radial, r"-r\,\xi + ")
    lines = [rf"-\nabla_\xi E = {start}X^{{\top}} p", rf"p = {weights}"]
    lines += [rf"r = {radial}"] if "r" in start else []
    uses = "Here $s = X\\xi$ are the scores and $p$ the weights over patterns"
    if "q" in form.radial.names | form.weights.names:
        uses += ", and $q = |\\xi|^2$"
    parts = [*map(display, lines), f"{uses}. {_DERIVED}"]
    if form.attention is not None and start == r"-\xi + ":
        parts.append(
            "With a step of size 1 that is attention: the state becomes a weighted mean of the "
            "patterns."
        )
    return "\n".join(parts)


def of_gradient(block: str) -> bool:
    """Whether a paragraph of a docstring writes out the gradient."""
    return "grad E =" in block or "dE/d" in block


def _of_class(spec: EnergySpec) -> str:
    """What a docstring says of the gradient, and how the toolkit takes it."""
    cls = class_of(spec)
    own = [block for block in paragraphs(cls)[1:] if of_gradient(block)]
    how = (
        "The class gives the gradient in closed form; the tests compare it with `torch.func.grad`."
        if describe(spec)["closed_form"]
        else "The step is minus the gradient of the energy, by `torch.func.grad`."
    )
    return "\n".join([f"{how}\n", prose(own)])
