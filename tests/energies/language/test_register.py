"""Functions of a user's own are as the toolkit's: derived, masked, printed, folded, or refused."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import attenergy
from attenergy.attention import gradient
from attenergy.energies import FormulaError, describe, make_energy
from attenergy.energies.language import (
    FUNCTIONS,
    Function,
    call,
    elementwise,
    parse,
    reduces,
    register_function,
    simplify,
    to_latex,
)
from attenergy.energies.language.nodes import MAX_NAME
from attenergy.energies.language.table import forget_results
from attenergy.registry import ArgumentError, ArgumentTypeError
from attenergy.testing import LAWS, check_law
from attenergy.testing.cases import float64

DOCS = Path(__file__).resolve().parents[3] / "docs"


def cubed(z):
    return z * z * z


CUBED = Function(
    "cubed",
    1,
    elementwise,
    "z^3",
    torch=cubed,
    derivative=lambda z: 3.0 * z**2,
    latex=r"\operatorname{cb}",
)


@pytest.fixture(autouse=True)
def table():
    """The table as it was, afterwards."""
    rows, owners = dict(FUNCTIONS), dict(FUNCTIONS.owners)
    yield
    for mine, before in ((FUNCTIONS, rows), (FUNCTIONS.owners, owners)):
        mine.clear()
        mine.update(before)
    forget_results()


@pytest.fixture
def of_the_page():
    """What docs/formulas.md registers: softsign, and rms_n over patterns."""
    code = re.findall(
        r"```python\n(.*?)```", (DOCS / "formulas.md").read_text(encoding="utf-8"), re.S
    )
    exec(compile(code[0], "formulas.md", "exec"), {"__name__": "of_the_page"})  # noqa: S102


FORMULAS = (
    "0.5*|xi|^2 - sum_n(softsign(X @ xi + h))",
    "0.5*|xi|^2 - rms_n(X @ xi + h)",
    "0.5*|xi|^2 - softsign(2*rms_n(X @ xi)) + softsign(2)",
)


@pytest.mark.long
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_functions_of_the_page_pass_the_laws(formula, entry, of_the_page):
    """A warning that a derivative is not autograd's would be an error here."""
    spec = entry(formula)
    for law in (law for law in LAWS if law[0] in "126"):
        result = check_law(law, spec)
        assert result.passed is not False, result
    assert describe(spec)["score_path"]


def test_what_is_known_of_a_row_is_used(entry, symbols):
    register_function(CUBED)
    with float64():
        energy = make_energy(entry("0.5*|xi|^2 - sum_n(cubed(X @ xi))*0.1"), dim=4)
    xi, X = torch.randn(3, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    wanted = xi - 0.3 * (xi @ X.T) ** 2 @ X
    torch.testing.assert_close(gradient(energy, xi, X), wanted)
    assert energy.has_weights
    assert str(simplify(parse("cubed(2)", symbols))) == "8"
    assert to_latex(parse("cubed(beta)", symbols)).startswith(r"\operatorname{cb}")
    twin = pickle.loads(pickle.dumps(copy.deepcopy(energy)))  # noqa: S301
    assert torch.equal(twin(xi, X), energy(xi, X))
    assert attenergy.register_function is register_function


def test_what_is_defined_again_takes_the_old_ones_place(symbols):
    """As when a cell of a notebook is run twice."""
    register_function(CUBED)
    tree = parse("cubed(c)", symbols)
    before = simplify(tree)
    register_function(replace(CUBED, normal_form=lambda args: args[0]))
    assert before == tree
    assert simplify(parse("cubed(c)", symbols)) == symbols["c"]


def test_a_vector_of_equal_entries_and_hidden_patterns(entry):
    """`torch` with `hidden`, for a reduction that needs no code of its own."""

    def largest(z):
        return z.amax(-1, keepdim=True)

    register_function(
        Function(
            *("largest_n", 1, reduces("N", ("N",)), "maximum"),
            torch=largest,
            hidden=-torch.inf,
            smooth=False,
        )
    )
    spec = entry("0.5*|xi|^2 - largest_n(X @ xi)")
    with float64():
        mine, same = (
            make_energy(spec, dim=4),
            make_energy(entry("0.5*|xi|^2 - max_n(X @ xi)"), dim=4),
        )
    xi, X = torch.randn(3, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, False, True]] * 2 + [[False] * 5])
    assert torch.equal(mine(xi, X, mask=mask), same(xi, X, mask=mask))
    assert check_law("2 masking equals deleting", spec).passed


def two(z):
    return 2 * z


REFUSED = [
    (
        {"name": "lse"},
        ArgumentError,
        "'lse' is taken by the formula function of attenergy",
    ),
    ({"name": "mul"}, ArgumentError, "the name 'mul' is taken"),
    ({"name": "xi"}, ArgumentError, "cannot be called 'xi': that is a symbol"),
    ({"name": "D"}, ArgumentError, "cannot be called 'D'"),
    ({"name": "a-b"}, ArgumentError, "must be a letter"),
    ({"name": "n" * (MAX_NAME + 1)}, ArgumentError, f"at most {MAX_NAME} letters"),
    ({"name": 3}, ArgumentTypeError, "'name' of a function must be a text, got 3"),
    ({"arity": -1}, ArgumentTypeError, "'arity' of a function must be a whole number"),
    ({"arity": True}, ArgumentTypeError, "'arity'"),
    ({"typing": "elementwise"}, ArgumentTypeError, "'typing' of a function must be a function"),
    ({"doc": " "}, ArgumentError, "'doc' of 'mine' must say"),
    ({"smooth": "no"}, ArgumentTypeError, "'smooth' of a function must be true or false"),
    ({"positive": "yes"}, ArgumentTypeError, "'positive' of a function must be true, false or"),
    ({"hidden": "-inf"}, ArgumentTypeError, "'hidden' of a function must be a number"),
    (
        {"torch": None},
        ArgumentError,
        "'mine' needs one of macro, torch, expansion and emit, got none",
    ),
    ({"macro": two}, ArgumentError, "got macro and torch"),
    ({"torch": lambda z: z}, ArgumentError, "use def, not lambda"),
    ({"typing": reduces("N", ("N",)), "derivative": two}, ArgumentError, "is for an elementwise"),
    ({"gradient": "lsee"}, ArgumentError, "'gradient' of 'mine' names no function: 'lsee'"),
    ({"fold": lambda z: 3 * z}, ArgumentError, "'fold' and 'torch' of 'mine' differ at 0.3"),
    ({"torch": None, "macro": two, "hidden": 0.0}, ArgumentError, "'hidden' of 'mine' is for"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED)
def test_what_is_refused(changes, kind, message):
    row = replace(Function("mine", 1, elementwise, "2 z", torch=two), **changes)
    known = list(FUNCTIONS)
    with pytest.raises(kind, match=re.escape(message)):
        register_function(row)
    assert list(FUNCTIONS) == known


@pytest.mark.parametrize("derivative", [None, "3*z^2"])
def test_a_derivative_that_is_no_tree_is_refused_where_it_is_used(derivative, entry):
    register_function(replace(CUBED, derivative=lambda z: derivative))
    with pytest.raises(FormulaError, match="derivative of 'cubed' must be a tree"):
        make_energy(entry("0.5*|xi|^2 - sum_n(cubed(X @ xi))"), dim=4)


@pytest.mark.parametrize("axes", [["N"], None, ((), "N")])
def test_axes_that_are_none_are_refused_where_they_are_used(axes, symbols):
    register_function(replace(CUBED, typing=lambda *_: axes, derivative=None))
    with pytest.raises(FormulaError, match="cubed would give"):
        parse("cubed(beta)", symbols)


def test_no_row_is_refused():
    with pytest.raises(ArgumentTypeError, match="must be a Function, got 'softsign'"):
        register_function("softsign")
    with pytest.raises(FormulaError, match="unknown function 'softsign'"):
        call("softsign", call("count_n"))
