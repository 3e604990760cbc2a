"""Formulas for a browser: the LaTeX of an energy as MathML, which needs no network and no font."""

from __future__ import annotations

import re
import unicodedata
from html import escape, unescape

# LaTeX name -> name of the character in HTML, where the two differ; most are the same.
_LETTERS = {
    "phi": "straightphi",
    "varphi": "phi",
    "ell": "ell",
    "infty": "infin",
    "partial": "part",
}
_LETTERS |= {
    name: name
    for name in (
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda"),
        *("mu", "nu", "xi", "rho", "sigma", "tau", "chi", "psi", "omega", "nabla", "Gamma"),
        *("Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"),
    )
}
_OPERATORS = {
    "cdot": "sdot", "times": "times", "neq": "ne", "le": "le", "leq": "le", "ge": "ge", "geq": "ge",
    "in": "in", "top": "top", "int": "int", "sum": "sum", "prod": "prod", "lVert": "Vert",
    "rVert": "Vert", "langle": "langle", "rangle": "rangle", "odot": "odot", "approx": "approx",
    "to": "rarr", "pm": "pm", "mid": "mid",
}  # fmt: skip
_FUNCTIONS = frozenset(
    ["arg", "cos", "cosh", "det", "exp", "inf", "lim", "ln", "log", "max", "min", "sin", "sup"]
) | {"tanh"}
_SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", "quad": "1em", "qquad": "2em", " ": "0.3em"}
_BELOW = frozenset({"sum", "prod", "max", "min", "lim", "inf", "sup"})  # limits stand under them
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|\\.|[^\s])", re.DOTALL)
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?(?:e-?\d+)?)")


def to_mathml(latex: str) -> str:
    """The LaTeX as one `<math>` element, the source kept beside it as an annotation.

    What `attenergy.energies.describe` writes is understood: fractions, roots, brackets that grow,
    indices, exponents, Greek letters, named functions. A command that is not known is shown as it
    was written. The text is escaped, so any string is safe in a page.
    """
    reader = _Reader(latex)
    body = reader.row(())
    source = escape(latex)
    return (
        f'<math display="block"><semantics><mrow>{body}</mrow>'
        f'<annotation encoding="application/x-tex">{source}</annotation></semantics></math>'
    )


class _Reader:
    """Reads LaTeX from left to right; every method returns MathML."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def row(self, stops: tuple[str, ...]) -> str:
        """Everything up to one of `stops`, which is read too, or to the end."""
        parts = []
        while (token := self._peek()) and token not in stops:
            parts.append(self._with_scripts())
        self._next()
        return "".join(parts)

    def _peek(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        return match.group(1) if match else ""

    def _next(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        if not match:
            return ""
        self._at = match.end()
        return match.group(1)

    def _with_scripts(self) -> str:
        name = self._peek().lstrip("\\")
        base = self._atom()
        scripts = {}
        while (mark := self._peek()) in {"_", "^"}:
            self._next()
            scripts[mark] = self._argument()
        if not scripts:
            return base
        below = "under" if name in _BELOW else "sub"
        above = "over" if name in _BELOW else "sup"
        if len(scripts) == 2:
            return f"<m{below}{above}>{base}{scripts['_']}{scripts['^']}</m{below}{above}>"
        kind = below if "_" in scripts else above
        return f"<m{kind}>{base}{next(iter(scripts.values()))}</m{kind}>"

    def _argument(self) -> str:
        """A group in braces, or one token: half is `tfrac12`."""
        if self._peek() == "{":
            self._next()
            return f"<mrow>{self.row(('}',))}</mrow>"
        if self._peek().isdecimal():
            return f"<mn>{self._next()}</mn>"
        return self._atom()

    def _letters(self) -> str:
        """The text of a group in braces."""
        if self._peek() != "{":
            return self._next()
        end = self._text.find("}", self._at)
        end = len(self._text) if end < 0 else end
        text = self._text[self._text.index("{", self._at) + 1 : end]
        self._at = end + 1
        return text

    def _atom(self) -> str:
        number = _NUMBER.match(self._text, self._at)
        if number:
            self._at = number.end()
            return f"<mn>{_short(number.group(1))}</mn>"
        token = self._next()
        if token == "{":
            return f"<mrow>{self.row(('}',))}</mrow>"
        if token.startswith("\\"):
            return self._command(token[1:])
        if token.isalpha():
            return f"<mi>{escape(token)}</mi>"
        if token in "()[]|":
            return f'<mo stretchy="false">{token}</mo>'
        return f"<mo>{_sign('minus') if token == '-' else escape(token)}</mo>"

    def _command(self, name: str) -> str:
        if name in _LETTERS:
            return f"<mi>{_sign(_LETTERS[name])}</mi>"
        if name in _OPERATORS:
            fence = ' stretchy="false"' if name.endswith("Vert") else ""
            return f"<mo{fence}>{_sign(_OPERATORS[name])}</mo>"
        if name in _SPACES:
            return f'<mspace width="{_SPACES[name]}"></mspace>'
        if name in _FUNCTIONS:
            return self._function(name)
        special = {
            "frac": self._fraction, "tfrac": self._small_fraction, "sqrt": self._root,
            "left": self._brackets, "operatorname": self._named, "mathrm": self._upright,
            "mathcal": self._script,
        }  # fmt: skip
        return special[name]() if name in special else f"<mtext>\\{escape(name)}</mtext>"

    def _fraction(self) -> str:
        return f"<mfrac>{self._argument()}{self._argument()}</mfrac>"

    def _small_fraction(self) -> str:
        return f'<mrow displaystyle="false">{self._fraction()}</mrow>'

    def _root(self) -> str:
        return f"<msqrt>{self._argument()}</msqrt>"

    def _brackets(self) -> str:
        opening = self._fence()
        inside = self.row(("\\right",))
        return f"<mrow>{opening}{inside}{self._fence()}</mrow>"

    def _fence(self) -> str:
        token = self._next()
        name = token.removeprefix("\\")
        sign = _sign(_OPERATORS[name]) if name in _OPERATORS else name
        return f'<mo stretchy="true">{escape(sign)}</mo>' if sign != "." else "<mrow></mrow>"

    def _named(self) -> str:
        return self._function(self._letters().replace("_", " "))

    def _function(self, name: str) -> str:
        following = self._peek()
        tight = following in {"(", "[", "_", "^", "\\left"}
        return f'<mo lspace="0.1em" rspace="{0 if tight else 0.17}em">{escape(name)}</mo>'

    def _upright(self) -> str:
        return f'<mi mathvariant="normal">{escape(self._letters())}</mi>'

    def _script(self) -> str:
        letter = self._letters()
        for kind in ("SCRIPT CAPITAL", "MATHEMATICAL SCRIPT CAPITAL"):
            try:
                return f"<mi>{unicodedata.lookup(f'{kind} {letter}')}</mi>"
            except KeyError:
                continue
        return f"<mi>{escape(letter)}</mi>"


def _sign(name: str) -> str:
    return unescape(f"&{name};")


def _short(number: str) -> str:
    """Constants such as log2(e) are shown with five digits."""
    return number if len(number) <= 7 else f"{float(number):.5g}"
