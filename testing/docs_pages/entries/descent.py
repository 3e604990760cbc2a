"""Which steps never raise an energy, and why."""

from __future__ import annotations

from attenergy.energies import describe
from attenergy.energies.domains import domain_of, guarantee_of
from attenergy.energies.quadratic import RADIAL
from attenergy.registry import EnergySpec
from attenergy.testing.docs_pages.entries.sections import span
from attenergy.testing.docs_pages.markdown import table

#: Where states live -> how a step stays there.
_DOMAINS = {
    "real": "all of $\\mathbb{R}^D$; a step is $\\xi - d$",
    "sphere": "the sphere $|\\xi| = \\sqrt{D}$; a step ends at $\\sqrt{D}(\\xi - d)/|\\xi - d|$",
    "layer_norm": "vectors of mean 0 and variance 1; a step ends at the layer norm of $\\xi - d$",
    "magnetisation": "means of spins, $-1 < \\xi_i < 1$; a step ends at "
    "$\\tanh(\\operatorname{artanh}\\xi - d)$",
    "simplex": "distributions, $\\xi_i > 0$ and $\\sum_i \\xi_i = 1$; a step ends at "
    "$\\operatorname{softmax}(\\log\\xi - d)$",
    "spin": "spins, $\\xi_i = \\pm 1$; a step sets each to the sign of $-d$",
}


def descent(spec: EnergySpec) -> str:
    """The domain, the safe step sizes with their reason, and the defaults."""
    search = spec.solver.search
    solvers = "" if search is None else ", ".join(f"`{s}`" for s in search.choices or ())
    rows = [
        ("steps", f"`{spec.steps.default}`", span(spec.steps.search)),
        ("step size $\\gamma$", f"`{spec.step_size.default}`", span(spec.step_size.search)),
        ("solver", f"`{spec.solver.default}`", solvers or "not searched"),
    ]
    where = _DOMAINS.get(spec.domain, f"the domain `{spec.domain}`")
    return "\n".join([
        f"States live in `{spec.domain}`: {where}, with $d = {_move(spec)}$.\n",
        f"**Steps that never raise the energy ([law 4](../laws.md#law-descent)): "
        f"{describe(spec)['safe_steps']}.** {_why(spec)}\n",
        table(("", "default", "searched"), rows),
    ])  # fmt: skip


def _move(spec: EnergySpec) -> str:
    scaled = spec.quadratic not in {None, 1.0}
    return r"\gamma A^{-1} \nabla_\xi E" if scaled else r"\gamma \nabla_\xi E"


def _why(spec: EnergySpec) -> str:
    guarantee, domain = guarantee_of(spec), domain_of(spec)
    if guarantee == "none":
        return (
            "No step size is promised to lower it from every state: small steps do where the "
            "energy is smooth. `attenergy.relax(..., trace=True)` shows the energy of every step."
        )
    if guarantee == "sequential":
        return (
            "The energy is concave in each single site, once its entropy is set apart, so moving "
            "one after the other (the solver `coordinate_descent`) never raises it; the solver "
            "`descent` moves all at once, which is cheaper and may raise it."
        )
    if spec.quadratic == RADIAL:
        return (
            "The gradient is divided by its own radial factor, so a step of size 1 lands on a "
            "weighted mean of patterns. The energy lies below a parabola that touches it at the "
            "state, and $\\gamma$ in (0, 2) never leaves that parabola's lower part."
        )
    if spec.quadratic is not None:
        largest = f"{domain.largest_step:g}"
        at_any = ", at any inverse temperature" if "beta" in spec.parameters else ""
        return (
            "$E = \\tfrac12 \\xi^\\top A \\xi - v(\\xi)$ with $v$ convex and $A$ = "
            f"`{spec.quadratic}`: with the tangent of $-v$ in its place $E$ becomes a parabola "
            "that lies above it and touches it at the state. So every step with $\\gamma$ in "
            f"(0, {largest}) ends at least as low{at_any}."
        )
    if domain.discrete:
        return (
            "The energy is concave in the state, so all spins may move at once, and no cycle of "
            "states can arise."
        )
    if domain.constrained:
        return (
            "$-E$ is convex, and the new state is the point of the domain that is nearest to "
            "$\\xi - d$: it lies at least as low along the gradient, and a concave function lies "
            "below its tangent."
        )
    return (
        "The gradient is divided by a bound of its own curvature, component by component, so the "
        "step stays in the lower part of a parabola that lies above the energy."
    )
