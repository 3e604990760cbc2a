"""The formula language: text -> typed tree -> derivative -> batched tensor code.

A formula is written for one state `xi` of axes `[D]`, stored patterns `X` `[N, D]` and a field `h`
`[N]`; batches, heads and masks are the compiler's business.
"""

from attenergy.energies.language.algebra import substitute
from attenergy.energies.language.derive import (
    SCORES,
    SQUARE,
    NotDerivable,
    ScoreForm,
    differentiate,
    score_form,
)
from attenergy.energies.language.emit import Program, compile_tree
from attenergy.energies.language.errors import FormulaError
from attenergy.energies.language.functions import is_smooth
from attenergy.energies.language.nodes import (
    FIELD,
    PATTERNS,
    XI,
    Call,
    Expr,
    Number,
    Symbol,
    call,
)
from attenergy.energies.language.parse import parse
from attenergy.energies.language.printing import to_latex, to_text
from attenergy.energies.language.register import register_function
from attenergy.energies.language.simplify import equivalent, simplify
from attenergy.energies.language.stable import stable_form
from attenergy.energies.language.table import (
    FUNCTIONS,
    PUBLIC,
    SYMBOLS,
    Axes,
    Function,
    remembered,
)
from attenergy.energies.language.typing_rules import elementwise, reduces, takes

TABLE = FUNCTIONS  # earlier name

__all__ = [
    "FIELD",
    "FUNCTIONS",
    "PATTERNS",
    "PUBLIC",
    "SCORES",
    "SQUARE",
    "SYMBOLS",
    "TABLE",
    "XI",
    "Axes",
    "Call",
    "Expr",
    "FormulaError",
    "Function",
    "NotDerivable",
    "Number",
    "Program",
    "ScoreForm",
    "Symbol",
    "call",
    "compile_tree",
    "differentiate",
    "elementwise",
    "equivalent",
    "is_smooth",
    "parse",
    "reduces",
    "register_function",
    "remembered",
    "score_form",
    "simplify",
    "stable_form",
    "substitute",
    "takes",
    "to_latex",
    "to_text",
]
