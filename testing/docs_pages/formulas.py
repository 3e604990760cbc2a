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


_OWN = """
## Functions of your own

A function is one row: which axes it takes, its value in torch, its derivative, and whatever else is
known of it (`help(attenergy.Function)` lists the fields). A formula may call it from then on, with
the fast path, masks, LaTeX and the check against autograd, as it calls those above.

```python
import torch
from attenergy import Function, register_function
from attenergy.energies.language import call, elementwise, reduces

register_function(
    Function(
        "softsign",
        1,
        elementwise,
        "z/(1 + |z|)",
        torch=torch.nn.functional.softsign,
        derivative=lambda z: (1 + call("abs", z)) ** -2,
        smooth=False,
        tame=True,
    )
)
register_function(
    Function(
        "rms_n",
        1,
        reduces("N", ("N",)),
        "root mean square over the visible patterns, smooth at 0",
        expansion=lambda z: (call("sumsq", z) / call("count_n") + 1e-6) ** 0.5,
        gradient=lambda z: z / (call("count_n") * call("rms_n", z)),
        positive=True,
    )
)
```

A reduction whose torch function takes the scores (..., L, N), with one number in place of hidden
patterns, says `torch=` and `hidden=` instead of `expansion=`. Put the code into a module and name
it with `--plugin`, so that worker processes know it too. A name that is taken, a field of a wrong
type and a `fold` that is not what `torch` computes are refused.
"""


def formulas_page() -> str:
    """The page on the language of formulas."""
    rows = [(f"`{name}`", str(TABLE[name].arity), TABLE[name].doc) for name in PUBLIC]
    return _FORMULAS + table(("name", "arguments", "meaning"), rows) + _OWN
