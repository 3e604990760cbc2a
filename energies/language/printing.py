"""A tree as formula text (which parses back to an equal tree) and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from attenergy.energies.language.nodes import Call, Expr, Number, Symbol
from attenergy.energies.language.table import FUNCTIONS

_SUM, _PRODUCT, _POWER, _ATOM = range(4)


def to_text(expr: Expr) -> str:
    """The tree in the formula language.

    Example:
        >>> to_text(parse("0.5 * |xi|^2", {"xi": XI}))
        '0.5*|xi|^2'
    """
    return _text(expr)[0]


def to_latex(expr: Expr) -> str:
    """The tree as LaTeX, without dollar signs.

    Example:
        >>> to_latex(parse("1 + beta", {"beta": Symbol((), "c")}))
        '1 + c'
    """
    return _latex(expr)[0]


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _latex_number(value: float) -> str:
    """A small fraction as one, another number with six digits."""
    near = Fraction(value).limit_denominator(12)
    if near.denominator > 1 and float(near) == value:
        sign = "-" if value < 0 else ""
        return rf"{sign}\tfrac{{{abs(near.numerator)}}}{{{near.denominator}}}"
    shown = _number(value if value.is_integer() else float(f"{value:.6g}"))
    mantissa, _, exponent = shown.partition("e")
    if not exponent:
        return shown
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def _wrap(shown: tuple[str, int], level: int, brackets: tuple[str, str] = ("(", ")")) -> str:
    text, own = shown
    return text if own >= level else f"{brackets[0]}{text}{brackets[1]}"


def _signed(expr: Expr) -> tuple[bool, Expr]:
    """Whether a term is written with a minus, and the term without it."""
    if isinstance(expr, Number) and expr.value < 0:
        return True, Number(-expr.value)
    if isinstance(expr, Call) and expr.function == "mul":
        factors = _factors(expr)
        minus = [i for i, f in enumerate(factors) if isinstance(f, Number) and f.value < 0]
        if minus:
            for i in minus:
                factors[i] = -1.0 * factors[i]
            rest = [f for f in factors if not (isinstance(f, Number) and f.value == 1)]
            return len(minus) % 2 == 1, _product_node(rest or [Number(1.0)], expr)
    return False, expr


def _product_node(parts: list[Expr], like: Call) -> Expr:
    if len(parts) == 1:
        return parts[0]
    return Call(like.axes, function="mul", args=tuple(parts))


def _factors(expr: Expr) -> list[Expr]:
    """Factors of a product, nested products opened."""
    if isinstance(expr, Call) and expr.function == "mul":
        return [f for a in expr.args for f in _factors(a)]
    return [expr]


def _fraction(expr: Call) -> tuple[list[Expr], list[Expr]]:
    """Factors above and below the bar; exponents below are positive."""
    above: list[Expr] = []
    below: list[Expr] = []
    for part in _factors(expr):
        exponent = part.args[1] if isinstance(part, Call) and part.function == "pow" else None
        if isinstance(exponent, Number) and exponent.value < 0 and isinstance(part, Call):
            base = part.args[0]
            flipped = Number(-exponent.value)
            power = Call(part.axes, function="pow", args=(base, flipped))
            below.append(base if flipped.value == 1 else power)
        else:
            above.append(part)
    return above, below


def _terms(expr: Call, show: Callable[[Expr], tuple[str, int]]) -> str:
    out = ""
    for term in sorted(expr.args, key=lambda t: _signed(t)[0]):
        negative, rest = _signed(term)
        shown = _wrap(show(rest), _PRODUCT)
        out += (" - " if out else "-") + shown if negative else (" + " if out else "") + shown
    return out


def _text(expr: Expr) -> tuple[str, int]:
    if isinstance(expr, Number):
        return _number(expr.value), _ATOM if expr.value >= 0 else _SUM
    if isinstance(expr, Symbol):
        return expr.name, _ATOM
    assert isinstance(expr, Call)
    if expr.function == "add":
        return _terms(expr, _text), _SUM
    negative, rest = _signed(expr)
    if negative:
        return f"-{_wrap(_text(rest), _PRODUCT)}", _SUM
    if expr.function in {"mul", "pow"}:
        above, below = _fraction(expr)
        if below:
            top = "*".join(_wrap(_text(p), _POWER) for p in above) or "1"
            return "/".join([top, *(_wrap(_text(p), _POWER) for p in below)]), _PRODUCT
        if expr.function == "mul":
            return "*".join(_wrap(_text(p), _POWER) for p in above), _PRODUCT
        base, exponent = expr.args
        return f"{_wrap(_text(base), _ATOM)}^{_wrap(_text(exponent), _ATOM)}", _POWER
    return _text_call(expr)


def _text_call(expr: Call) -> tuple[str, int]:
    args = [_text(a) for a in expr.args]
    if expr.function == "matmul":
        return f"{_wrap(args[0], _ATOM)} @ {_wrap(args[1], _ATOM)}", _PRODUCT
    if expr.function == "transpose":
        return f"{_wrap(args[0], _ATOM)}'", _ATOM
    if expr.function == "sumsq":
        return f"|{args[0][0]}|^2", _POWER
    if expr.function == "norm":
        return f"|{args[0][0]}|", _ATOM
    return f"{expr.function}({', '.join(a for a, _ in args)})", _ATOM


_GREEK = frozenset(
    ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda"]
) | {"mu", "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"}


def _latex_name(name: str) -> str:
    head, _, tail = name.partition("_")
    shown = f"\\{head}" if head in _GREEK else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    return f"{shown}_{{{tail}}}" if tail else shown


def _latex_function(name: str) -> str:
    if name in {"exp", "log", "sin", "cos", "tanh"}:
        return rf"\{name}"
    head, _, tail = name.partition("_")
    return rf"\operatorname{{{head}}}" + (rf"_{{\mathrm{{{tail}}}}}" if tail else "")


def _latex(expr: Expr) -> tuple[str, int]:
    if isinstance(expr, Number):
        shown = _latex_number(expr.value)
        plain = _PRODUCT if shown.startswith(r"\tfrac") or "cdot" in shown else _ATOM
        return shown, plain if expr.value >= 0 else _SUM
    if isinstance(expr, Symbol):
        return _latex_name(expr.name), _ATOM
    assert isinstance(expr, Call)
    if expr.function == "add":
        return _terms(expr, _latex), _SUM
    negative, rest = _signed(expr)
    if negative:
        return f"-{_paren(_latex(rest), _PRODUCT)}", _SUM
    if expr.function in {"mul", "pow"}:
        above, below = _fraction(expr)
        if below:
            top, bottom = _latex_product(above) or "1", _latex_product(below)
            return rf"\frac{{{top}}}{{{bottom}}}", _PRODUCT  # brackets if it is raised
        if expr.function == "mul":
            return r"\,".join(_paren(_latex(p), _PRODUCT) for p in above), _PRODUCT
        base, exponent = expr.args
        return f"{_paren(_latex(base), _ATOM)}^{{{_latex(exponent)[0]}}}", _POWER
    return _latex_call(expr)


def _latex_product(parts: list[Expr]) -> str:
    """Factors on one side of a bar, which brackets one of them alone."""
    if len(parts) == 1:
        return _latex(parts[0])[0]
    return r"\,".join(_paren(_latex(p), _PRODUCT) for p in parts)


def _paren(shown: tuple[str, int], level: int) -> str:
    return _wrap(shown, level, (r"\left(", r"\right)"))


def _latex_call(expr: Call) -> tuple[str, int]:
    args = [_latex(a) for a in expr.args]
    if expr.function == "matmul":
        left = _paren(args[0], _PRODUCT)
        if len(expr.args[0].axes) == 1:
            left = rf"{_paren(args[0], _ATOM)}^{{\top}}"
        return rf"{left}\,{_paren(args[1], _PRODUCT)}", _PRODUCT
    if expr.function == "transpose":
        return rf"{_paren(args[0], _ATOM)}^{{\top}}", _POWER  # no two exponents in a row
    if expr.function in {"sumsq", "norm"}:
        shown = rf"\left\lVert {args[0][0]} \right\rVert"
        return (f"{shown}^{{2}}", _POWER) if expr.function == "sumsq" else (shown, _ATOM)
    if expr.function == "sqrt":
        return rf"\sqrt{{{args[0][0]}}}", _ATOM
    name = FUNCTIONS[expr.function].latex or _latex_function(expr.function)
    if not args:
        return name, _ATOM
    return rf"{name}\left({', '.join(a for a, _ in args)}\right)", _ATOM


Expr.writer = to_text
