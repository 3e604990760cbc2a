"""What every part of a formula is good for: the formula with one part less, again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from attenergy.energies.language import Call, Expr, FormulaError, Number, call, simplify
from attenergy.energies.language.simplify import expand
from attenergy.search.discovery.formulas.candidate import Candidate

#: Of one formula, the large parts before the small ones.
MOST = 24
#: What is said of the whole formula.
WHOLE = "nothing"
#: The simplest function over patterns, and over components, of those that give a scalar.
_SIMPLEST = {("N",): "sum_n", ("D",): "sum_d"}
_SHORT = 60  # characters of a part that are shown


@dataclass(frozen=True)
class Ablation:
    """A formula without one of its parts.

    Attributes:
        what: the part, in words that no other ablation of the formula has.
        candidate: what is left.
    """

    what: str
    candidate: Candidate

    @property
    def formula(self) -> str:
        """What is left, as text."""
        return self.candidate.formula


def ablations(candidate: Candidate, most: int = MOST) -> tuple[Ablation, ...]:
    """The formula itself, then every formula with one part less.

    A term of a sum and a factor of a product are left out; a power gives way to its base, a
    function to its argument, and one over patterns to their sum, the simplest there is. What is no
    energy (it does not read xi, or axes do not fit), and what simple algebra makes the formula
    itself or one that was there before, up to a shift, is passed over.

    Args:
        candidate: the formula.
        most: of the ablations, those of large parts first.

    Example:
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> for one in ablations(Candidate.from_formula("0.5*|xi|^2 - lse(X @ xi)")):
        ...     print(one.what, "->", one.formula)
        nothing -> 0.5*|xi|^2 - lse(X @ xi)
        the term -lse(X @ xi) -> 0.5*|xi|^2
        the term 0.5*|xi|^2 -> -lse(X @ xi)
        the factor 0.5 -> |xi|^2 - lse(X @ xi)
        lse, sum_n in its place -> 0.5*|xi|^2 - sum_n(X @ xi)
    """
    known, names = {_form(candidate.tree): Ablation(WHOLE, candidate)}, Counter[str]()
    for what, tree in sorted(_without_one(candidate.tree), key=lambda each: each[1].size):
        form = _form(tree)
        if form in known:
            continue
        try:
            left = Candidate(tree)
        except FormulaError:
            continue
        names[what] += 1  # parts in different places may be written the same
        known[form] = Ablation(what if names[what] == 1 else f"{what} ({names[what]})", left)
    return tuple(known.values())[: most + 1]


def _form(tree: Expr) -> Expr:
    """The normal form, multiplied out, without terms that do not read xi: they move no state."""
    form = simplify(expand(simplify(tree)))
    if not (isinstance(form, Call) and form.function == "add"):
        return form
    terms = [term for term in form.args if "xi" in term.names]
    return call("add", *terms) if len(terms) > 1 else terms[0] if terms else Number(0.0)


def _without_one(tree: Expr) -> Iterator[tuple[str, Expr]]:
    """What is left out, and the tree without it, for every place in the tree."""
    if not isinstance(tree, Call):
        return
    yield from ((what, left) for what, left in _here(tree) if left.axes == tree.axes)
    for place, arg in enumerate(tree.args):
        for what, left in _without_one(arg):
            args = (*tree.args[:place], left, *tree.args[place + 1 :])
            try:
                yield what, call(tree.function, *args)
            except FormulaError:  # such as an exponent that may no longer stand there
                continue


def _here(tree: Call) -> Iterator[tuple[str, Expr]]:
    """What can take the place of a call itself."""
    function, args = tree.function, tree.args
    if function in {"add", "mul"}:
        kind = "term" if function == "add" else "factor"
        for place, arg in enumerate(args):
            rest = (*args[:place], *args[place + 1 :])
            sign = isinstance(arg, Number) and abs(arg.value) == 1
            if not sign or function == "add":
                left = rest[0] if len(rest) == 1 else call(function, *rest)
                yield f"the {kind} {_short(arg)}", left
    elif function == "pow":
        exponent = args[1]
        if not (isinstance(exponent, Number) and exponent.value < 0):
            yield f"the exponent {_short(exponent)} of {_short(args[0])}", args[0]
    elif args and args[0].axes == tree.axes:
        yield f"{function} of {_short(args[0])}", args[0]
    elif args and not tree.axes and args[0].axes in _SIMPLEST:
        simplest = _SIMPLEST[args[0].axes]
        if function not in {simplest, "sumsq", "norm"}:
            yield f"{function}, {simplest} in its place", call(simplest, args[0])


def _short(tree: Expr) -> str:
    text = str(tree)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
