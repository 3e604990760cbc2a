"""A candidate: one energy that the search wrote, as a typed tree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attenergy.energies.language import (
    FIELD,
    PATTERNS,
    XI,
    Call,
    Expr,
    FormulaError,
    Number,
    Symbol,
    call,
    parse,
    simplify,
    to_latex,
    to_text,
)
from attenergy.registry import ArgumentError, EnergySpec, Parameter, Range
from attenergy.search.discovery.formulas.convexity import (
    is_at_least_0,
    is_positive,
    quadratic_part,
)
from attenergy.search.discovery.formulas.entries import CannotSay, tree_of_entry
from attenergy.search.discovery.formulas.field import add_field

_POSITIVE = Range(low=0.1, high=10.0, log=True)

#: What a candidate may learn, one number per head each: all of them are above 0.
PARAMETERS: Mapping[str, Parameter] = {
    "beta": Parameter(
        init="1/sqrt(D)", constraint="positive", search=_POSITIVE, doc="inverse temperature"
    ),
    "alpha": Parameter(init=1.0, constraint="positive", search=_POSITIVE, doc="a scale"),
    "kappa": Parameter(init=1.0, constraint="positive", search=_POSITIVE, doc="a second scale"),
}
#: What every name in a candidate's formula stands for.
SYMBOLS: Mapping[str, Symbol] = {
    "xi": XI,
    "X": PATTERNS,
    "h": FIELD,
    **{name: Symbol((), name, positive=True) for name in PARAMETERS},
}
_STEPS = {"default": 1, "search": {"low": 1, "high": 4}}
#: Steps below 2 never raise an energy with a quadratic part that is known; others begin smaller.
_SAFE_STEP = {"default": 1.0, "search": {"low": 0.25, "high": 1.9}}
_UNSAFE_STEP = {"default": 0.5, "search": {"low": 0.05, "high": 1.9, "log": True}}


@dataclass(frozen=True)
class Candidate:
    """An energy E(xi; X) as a tree: a scalar over xi, X and the parameters of `PARAMETERS`.

    The tree is the one that its own formula is read as, so that text and tree say the same.
    Candidates are equal if they are written the same; `key` tells those that simple algebra makes
    the same. There is no field in it unless `with_field` puts it there.

    Raises:
        FormulaError: the tree is no scalar, reads no state, has a name that is none of these, or
            its text is longer than formulas may be.

    Example:
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> candidate = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
        >>> candidate.parameters, candidate.length, candidate.numbers
        (('beta',), 16, (0.5,))
    """

    tree: Expr

    def __post_init__(self) -> None:
        text = to_text(self.tree)
        tree = parse(text, SYMBOLS)
        if tree.axes:
            raise FormulaError("an energy must be a scalar", text, 0, topic="formula-scalar")
        if "xi" not in simplify(tree).names:
            raise FormulaError("an energy must depend on xi", text, 0, topic="formula-scalar")
        object.__setattr__(self, "tree", tree)

    @classmethod
    def from_formula(cls, text: str) -> Candidate:
        """The candidate that a formula says.

        Args:
            text: a formula over xi, X, h and the names of `PARAMETERS`.

        Raises:
            FormulaError: with the position of what is wrong.

        Example:
            >>> from attenergy.search.discovery.formulas import Candidate
            >>> Candidate.from_formula("0.5 * |xi|^2 - sum_n((X @ xi)^2)").formula
            '0.5*|xi|^2 - sum_n((X @ xi)^2)'
        """
        return cls(parse(text, SYMBOLS))

    @classmethod
    def from_entry(
        cls, spec: EnergySpec, choices: Mapping[str, str] | None = None
    ) -> Candidate | None:
        """What an entry of a registry says; None where no candidate can say it.

        The field becomes 0 (`entry` puts it back), a parameter that is not learned its number, one
        with another start or another name the next free name times its start, and one that is not
        restricted to numbers above 0 its start. `reason_against` says why there is none.

        Args:
            spec: the entry.
            choices: options by the names of the entry's choices; the defaults of others.

        Example:
            >>> from attenergy.search.discovery.formulas import Candidate
            >>> registry = attenergy.load_registry(plugins=False)
            >>> Candidate.from_entry(registry.energies["lse"]).formula
            '0.5*|xi|^2 - lse(beta*(X @ xi))/beta'
        """
        try:
            return cls(tree_of_entry(spec, PARAMETERS, choices or {}))
        except (CannotSay, FormulaError):
            return None

    @cached_property
    def formula(self) -> str:
        """The text that is parsed to the tree."""
        return to_text(self.tree)

    @cached_property
    def latex(self) -> str:
        """The formula as LaTeX, without dollar signs."""
        return to_latex(self.tree)

    @cached_property
    def normal_form(self) -> Expr:
        """The tree under simple algebra (`attenergy.energies.language.simplify`)."""
        return simplify(self.tree)

    @cached_property
    def length(self) -> int:
        """Number of nodes of the normal form."""
        return self.normal_form.size

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits, the same for equal normal forms in every process."""
        return hashlib.sha256(repr(self.normal_form.structure).encode()).hexdigest()[:12]

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in it, in the order of `PARAMETERS`."""
        return tuple(name for name in PARAMETERS if name in self.tree.names)

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The constants and exponents that may be tuned, in the order of the tree.

        Not among them: signs, a 1 above a bar, the -1 of a bar, and exponents of what may be
        negative, or 0 unless they are above 1: they are not defined for every number.
        """
        return tuple(numbers_of(self.tree))

    def with_numbers(self, values: Sequence[float]) -> Candidate:
        """The candidate with other numbers in the places of `numbers`.

        Raises:
            ArgumentError: there are not as many.
            FormulaError: a function cannot take one of them.

        Example:
            >>> from attenergy.search.discovery.formulas import Candidate
            >>> Candidate.from_formula("0.5*|xi|^2 - |X @ xi|^2").with_numbers([2.0]).formula
            '2*|xi|^2 - |X @ xi|^2'
        """
        if len(values) != len(self.numbers):
            raise ArgumentError(
                f"'{self.formula}' has {len(self.numbers)} numbers, got {len(values)}"
            )
        return Candidate(_with_numbers(self.tree, iter(values)))

    def with_field(self) -> Candidate:
        """The candidate with the field h added to every scaled score, as the registry's have it."""
        return self if "h" in self.tree.names else Candidate(add_field(self.tree))

    def entry(self, *, title: str, doc: str = "", reference: str = "") -> EnergySpec:
        """The entry that is trained, saved and written to a registry file.

        Its formula has the field (`with_field`), so that positions and biases act on it. The
        quadratic part A is declared where E = 1/2 A |xi|^2 - v(xi) with v convex is proven from the
        tree (`quadratic_part`): any step size below 2 then never raises E. Else nothing is
        promised.

        Example:
            >>> from attenergy.search.discovery.formulas import Candidate
            >>> entry = Candidate.from_formula("|xi|^2 - lse(beta*X @ xi)").entry(title="Mine")
            >>> entry.quadratic, entry.formula
            (2.0, '|xi|^2 - lse((beta*X) @ xi + h)')
        """
        candidate = self.with_field()
        quadratic = quadratic_part(candidate.tree)
        content: dict[str, Any] = {
            "title": title,
            "formula": candidate.formula,
            "parameters": {name: PARAMETERS[name] for name in self.parameters},
            "steps": _STEPS,
            "step_size": _UNSAFE_STEP if quadratic is None else _SAFE_STEP,
        }
        texts = {"doc": doc, "reference": reference}
        content |= {key: text for key, text in texts.items() if text}
        content |= {"descends": "none"} if quadratic is None else {"quadratic": quadratic}
        return EnergySpec.model_validate(content)


def reason_against(spec: EnergySpec, choices: Mapping[str, str] | None = None) -> str:
    """Why no candidate can say an entry, or "" if one can.

    Example:
        >>> from attenergy.search.discovery.formulas import reason_against
        >>> reason_against(attenergy.load_registry(plugins=False).energies["polynomial"])
        "its states live in the domain 'sphere', those of candidates in 'real'"
    """
    try:
        Candidate(tree_of_entry(spec, PARAMETERS, choices or {}))
    except (CannotSay, FormulaError) as error:
        return str(error)
    return ""


def _tuned(node: Call, index: int) -> bool:
    """Whether the number at this place of a call may be another."""
    value = node.args[index]
    assert isinstance(value, Number)
    if node.function == "mul":
        return abs(value.value) != 1
    if node.function == "pow" and index == 1:
        base = node.args[0]
        above_1 = value.value > 1 and is_at_least_0(base) and not _is_length(base)
        return value.value != -1 and (above_1 or is_positive(base))
    return True


def _is_length(tree: Expr) -> bool:
    """Whether a power of it bends sharply where it is 0, unless the exponent is even."""
    return isinstance(tree, Call) and tree.function in ("norm", "abs")


def numbers_of(tree: Expr) -> list[float]:
    """The constants and exponents of a tree that may be tuned, in its order; see `numbers`."""
    if not isinstance(tree, Call):
        return []
    values: list[float] = []
    for index, arg in enumerate(tree.args):
        if isinstance(arg, Number):
            values += [arg.value] * _tuned(tree, index)
        else:
            values += numbers_of(arg)
    return values


def _with_numbers(tree: Expr, values: Any) -> Expr:
    if not isinstance(tree, Call):
        return tree
    args: list[Expr] = []
    for index, arg in enumerate(tree.args):
        if isinstance(arg, Number):
            args.append(Number(next(values)) if _tuned(tree, index) else arg)
        else:
            args.append(_with_numbers(arg, values))
    return call(tree.function, *args)
