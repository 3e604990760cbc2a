"""The page of `docs/` on formulas, made from the language itself."""

from __future__ import annotations

from attenergy.energies.language import PUBLIC, TABLE
from attenergy.testing.docs_pages.markdown import table

_FORMULAS = """\
# The language of formulas

Made from the language itself by `make docs`; a test compares.

A formula is an energy E for one state; batches, heads and masks are the compiler's business.

| name | axes | meaning |
| --- | --- | --- |
| `xi` | [D] | the state |
| `X` | [N, D] | the stored patterns, one in a row |
| `h` | [N] | an external field on the patterns; 0 where none is given |
| a parameter | scalar, [D] or [D, D] | as the entry declares it, under any name not used here |
| a choice | a function of one argument | filled by one of the entry's options |

Every part of a formula is a scalar, a vector [D] or [N], or a matrix [N, D], [D, N], [N, N] or
[D, D]; the whole is a scalar and depends on `xi`. Numbers are written `0.5`, `1e-3`; there are `+`,
`-`, `*`, `/`, powers `^`, contractions `@`, transposes `X'`, lengths `|v|` and `|v|^2`, and the
functions below. Scalars are repeated over vectors; a vector over D never joins one over N. A matrix
may not depend on `xi`. A formula has at most 500 characters; nothing in it is executed as code.

A formula that reads `xi` only through `|xi|^2`, `X @ xi` and `sqdist(X, xi)` is derived once and
takes the fast path (`attenergy energies show NAME` tells).

## Functions

Those over the patterns leave out what the mask hides. All others are kept from it too where they
might overflow or have a pole, so that it acts on no derivative.

"""


def formulas_page() -> str:
    """The page on the language of formulas."""
    rows = [(f"`{name}`", str(TABLE[name].arity), TABLE[name].doc) for name in PUBLIC]
    return _FORMULAS + table(("name", "arguments", "meaning"), rows)
