"""Printing, algebra and derivatives of random well-typed trees."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attenergy.attention import gradient
from attenergy.energies import FormulaError
from attenergy.energies.language import (
    FIELD,
    PATTERNS,
    XI,
    NotDerivable,
    Number,
    Symbol,
    call,
    compile_tree,
    differentiate,
    equivalent,
    parse,
    score_form,
    simplify,
    substitute,
)

BETA, C = Symbol((), name="beta", positive=True), Symbol((), name="c")
W, M = Symbol(("D",), name="w"), Symbol(("D", "D"), name="M")
ALL = {"xi": XI, "X": PATTERNS, "h": FIELD, "beta": BETA, "c": C, "w": W, "M": M}
SMOOTH = ("tanh", "sigmoid", "softplus", "logcosh", "sin", "cos")
KINKED = ("relu", "abs")

many = settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def trees(draw, axes=(), depth=4, leaves=None, functions=SMOOTH + KINKED):
    """A tree of the given axes; `leaves` maps axes to what may stand at its ends."""
    leaves = LEAVES if leaves is None else leaves
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(leaves[axes]))

    def sub(other=axes):
        return draw(trees(other, depth - 1, leaves, functions))

    kind = draw(st.sampled_from(["add", "add", "mul", "div", "pow", "function", "own", "own"]))
    if kind == "add":
        return sub() + sub() if draw(st.booleans()) else sub() - sub()
    if kind == "mul":
        return sub() * sub(()) if draw(st.booleans()) else sub(()) * sub()
    if kind == "div":
        below = draw(st.sampled_from([BETA, C, C * BETA, Number(-3.0), call("exp", C), COUNT]))
        return sub() / (below + call("softplus", sub(())) if draw(st.booleans()) else below)
    if kind == "pow":
        exponent = draw(st.sampled_from([2.0, 3.0, 1.0, BETA]))
        base = sub()
        return call("softplus", base) ** exponent if exponent is BETA else base**exponent
    if kind == "function":
        return call(draw(st.sampled_from(functions)), sub())
    return draw(own(axes, sub))


@st.composite
def own(draw, axes, sub):
    """What leads to these axes from others."""
    if axes == ("N",):
        kind = draw(st.sampled_from(["softmax", "scores", "distance"]))
        if kind == "softmax":
            return call("softmax", sub())
        return PATTERNS @ sub(("D",)) if kind == "scores" else call("sqdist", PATTERNS, sub(("D",)))
    if axes == ("D",):
        kind = draw(st.integers(0, 2))
        return [lambda: M @ sub(), lambda: sub() @ M, lambda: call("transpose", M) @ sub()][kind]()
    name = draw(st.sampled_from(["lse", "sum_n", "mean_n", "max_n", "sumsq", "dot"]))
    if name == "dot":
        return sub(("N",)) @ sub(("N",))
    return call(name, sub(("N",)))


COUNT = call("count_n")
NUMBERS = [Number(v) for v in (0.5, 2.0, -1.0, -0.25, 1.0, 0.0)]
LEAVES = {
    (): [*NUMBERS, BETA, C, call("sumsq", XI), XI @ W, call("sum_d", XI), COUNT, call("norm", XI)],
    ("D",): [XI, W, M @ XI, call("transpose", PATTERNS) @ call("softmax", FIELD), XI],
    ("N",): [PATTERNS @ XI, FIELD, call("sumsq", PATTERNS), PATTERNS @ W],
}


def value(tree, point, masked):
    out = compile_tree(tree, masked=masked)(point)
    return torch.as_tensor(out, dtype=torch.float64)


def simplified(tree):
    try:
        return simplify(tree)
    except FormulaError:  # a constant in it overflows or is a division by 0
        assume(False)


def close(a, b):
    both = torch.broadcast_tensors(a, b)
    fine = both[0].isfinite() & both[1].isfinite() & (both[0].abs() < 1e6)
    torch.testing.assert_close(both[0][fine], both[1][fine], rtol=1e-7, atol=1e-7)


@given(tree=st.one_of(trees(), trees(("D",)), trees(("N",))))
@many
def test_printing_and_reading_give_the_same_tree(tree):
    simplified(tree)
    text = str(tree)
    assume(len(text) <= 500)
    assert equivalent(parse(text, ALL), tree)


@given(tree=st.one_of(trees(), trees(("D",)), trees(("N",))))
@many
def test_the_normal_form_is_one(tree):
    normal = simplified(tree)
    assert simplify(normal).structure == normal.structure
    assert equivalent(normal, tree)
    assume(len(str(normal)) <= 500)
    assert equivalent(parse(str(normal), ALL), tree)


@given(tree=st.one_of(trees(), trees(("D",)), trees(("N",))), masked=st.booleans())
@many
def test_simplifying_keeps_the_value(tree, masked, point):
    before, after = value(tree, point, masked), value(simplified(tree), point, masked)
    if masked and tree.axes == ("N",):  # what is hidden is never summed
        before, after = (torch.where(point["mask"], v, 0.0) for v in (before, after))
    close(before, after)


#: Their patterns go out where products are distributed over sums, and not before.
CANCELLING = ("(h+1)*c - h*c", "(h+beta)*c - h*c - c", "(X@xi - 1)*beta - (X@xi)*beta + h")


@pytest.mark.parametrize("inner", CANCELLING)
@pytest.mark.parametrize("function", ["lse", "sum_n", "max_n", "count_n() + max_n"])
@pytest.mark.parametrize("masked", [False, True])
def test_simplifying_keeps_the_value_where_patterns_go_out(function, inner, masked, point):
    tree = parse(f"{function}({inner})", ALL)
    close(value(tree, point, masked), value(simplified(tree), point, masked))
    ones = parse(f"(0*h + 1) @ ({inner}) + (0*h) @ ({inner}) + (0*h + 2) @ (X@xi)", ALL)
    close(value(ones, point, masked), value(simplified(ones), point, masked))
    weights = parse(f"softmax({inner}) @ X", ALL)
    close(value(weights, point, masked), value(simplified(weights), point, masked))


@given(tree=trees(functions=SMOOTH), name=st.sampled_from(["beta", "c", "w"]))
@many
def test_derivatives_equal_autograds(tree, name, point):
    try:
        derivative = differentiate(tree, ALL[name])
    except (NotDerivable, FormulaError):
        return
    leaf = point[name].clone().requires_grad_()
    # One state at a time: the parameter is shared, its derivative is not.
    for row in range(3):
        own = {**point, name: leaf}
        for key in ("xi", "h", "mask"):
            own[key] = point[key][row : row + 1]
        out = torch.as_tensor(compile_tree(tree, masked=True)(own))
        wanted = torch.zeros_like(leaf)
        if out.requires_grad:
            (wanted,) = torch.autograd.grad(out.sum(), leaf, materialize_grads=True)
        close(value(derivative, own, True), wanted)


SCORE_LEAVES = {
    (): [*NUMBERS, BETA, C, call("sumsq", XI), call("lse", PATTERNS @ XI)],
    ("D",): [XI],
    ("N",): [PATTERNS @ XI, FIELD, PATTERNS @ XI + FIELD, call("sqdist", PATTERNS, XI)],
}


@pytest.mark.long
@given(tree=trees(leaves=SCORE_LEAVES, depth=3))
@settings(many, max_examples=40)
def test_score_paths_equal_torch_func_grad(tree, energy_of):
    """Warnings are errors here, so the written derivative also passes its own check."""
    assume("xi" in simplified(tree).names and len(str(tree)) <= 500)
    positive, square = {"init": 0.8, "constraint": "positive"}, {"init": 0.5, "shape": ["D", "D"]}
    energy = energy_of(str(tree), beta=positive, c={"init": -0.6}, M=square)
    assume(energy.has_weights)
    generator = torch.Generator().manual_seed(2)
    xi, X, field = (
        0.7 * torch.randn(2, n, m, generator=generator, dtype=torch.float64)
        for n, m in ((3, 4), (5, 4), (3, 5))
    )
    mask = torch.rand(2, 3, 5, generator=generator) < 0.6
    mask[0, 0] = False
    for seen in (None, mask):
        fast = gradient(energy, xi, X, mask=seen, field=field, backend="scores")
        close(fast, gradient(energy, xi, X, mask=seen, field=field, backend="eager"))


def test_score_trees_take_the_score_path():
    for text in (
        "lse(X @ xi)",
        "|xi|^2",
        "sum_n(sqdist(X, xi))",
        "max_n(softmax(X@xi))*0 + |xi|^2",
    ):
        assert score_form(parse(text, ALL)) is not None


EQUAL = [
    ("c - c", "0"),
    ("2*c + c", "3*c"),
    ("0.5*|xi|^2", "|xi|^2/2"),
    ("xi @ xi", "|xi|^2"),
    ("xi @ w", "w @ xi"),
    ("xi @ M", "M' @ xi"),
    ("X'' @ xi", "X @ xi"),
    ("beta*h/beta", "h"),
    ("lse(beta * X @ xi)", "lse(X @ (beta*xi))"),
    ("lse(h + c)", "c + lse(h)"),
    ("lse(beta*(h + c))", "beta*c + lse(beta*h)"),
    ("softmax(h + c)", "softmax(h)"),
    ("sum_n(beta*h)", "beta*sum_n(h)"),
    ("mean_n(h)", "sum_n(h)/count_n()"),
    ("relu(h)*step(h)", "relu(h)"),
    ("(2*beta*h)^2", "4*beta^2*h^2"),
    ("1/c/c", "c^-2"),
    ("sqdist(X, xi)", "|X|^2 - 2*X @ xi + |xi|^2"),
    ("|2*xi|^2", "4*|xi|^2"),
    ("(beta*c)^0.5", "beta^0.5*c^0.5"),
    ("lse(h - h)", "log(count_n())"),
    ("sum_n(c + 0*h)", "c*count_n()"),
    ("|w - w|^2", "0"),
    ("(h - h + c) @ h", "c*sum_n(h)"),
    ("sum_n(softmax(0*h))", "1"),
]
DIFFERENT = [
    ("c/c", "1"),  # undefined at 0
    ("c^2^0.5", "c"),
    ("(c^2)^0.5", "c"),  # |c|
    ("c*h/c", "h"),
    ("lse(2*h)", "2*lse(h)"),
    ("lse(c*h)", "c*lse(h)"),
    ("X @ xi", "X @ w"),
    ("M @ xi", "xi @ M"),
    ("|xi|", "|xi|^2"),
    ("sum_n(h)", "mean_n(h)"),
    ("softmax(2*h)", "softmax(h)"),
    ("relu(h)*step(-h)", "relu(h)"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_up_to_algebra(left, right):
    a, b = parse(left, ALL), parse(right, ALL)
    assert equivalent(a, b)
    assert hash(simplify(a)) == hash(simplify(b))
    assert len({simplify(a), simplify(b)}) == 1


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_trees(left, right):
    assert not equivalent(parse(left, ALL), parse(right, ALL))


def test_trees_are_equal_if_they_are_written_the_same():
    """Wherever they stand in a text; algebra is asked for by name."""
    tree, same = parse("c*lse(h)", ALL), parse("  c * lse(h)", ALL)
    assert tree == same
    assert hash(tree) == hash(same)
    assert len({tree, same}) == 1
    swapped = parse("lse(h)*c", ALL)
    assert tree != swapped
    assert equivalent(tree, swapped)
    assert tree != "c*lse(h)"
    assert Number(-0.0) == Number(0.0)
    assert Symbol((), name="c") != Symbol((), name="c", positive=True)


def test_a_symbol_that_may_be_negative_is_never_taken_for_a_positive_one():
    """Their trees look alike, so a cache could mix them up."""
    real, positive = Symbol((), name="r"), Symbol((), name="r", positive=True)
    texts = ("(r*c)^0.5", "r/r", "(r^2)^0.5")
    for text in texts:
        trees_ = [parse(text, {"r": r, "c": C}) for r in (positive, real, positive, real)]
        shown = [str(simplify(t)) for t in trees_]
        assert shown[0] == shown[2] != shown[1] == shown[3], text


def test_python_operators_build_what_text_says():
    scores = PATTERNS @ XI
    built = 0.5 * call("sumsq", XI) - call("lse", BETA * scores + FIELD) / BETA
    assert equivalent(built, parse("0.5*|xi|^2 - lse(beta * X @ xi + h)/beta", ALL))
    assert equivalent(parse("1 - c/2", ALL), 1 - C / 2)
    assert equivalent(parse("2/c + 1", ALL), 2 / C + 1)
    assert equivalent(parse("-c^2", ALL), -(C**2))
    assert built != "0.5*|xi|^2"
    with pytest.raises(FormulaError, match="cannot contract"):
        XI @ PATTERNS
    with pytest.raises(FormulaError, match=r"cannot join \[D\] with \[N\]"):
        XI + FIELD
    with pytest.raises(FormulaError, match="unknown function 'lsee'; did you mean 'lse'"):
        call("lsee", scores)
    with pytest.raises(FormulaError, match="not finite"):
        Number(float("nan"))


def test_substitution_keeps_the_axes_checked():
    tree = parse("lse(beta * X @ xi)", ALL)
    assert substitute(tree, {"beta": Number(2.0)}) == parse("lse(2 * X @ xi)", ALL)
    assert substitute(tree, {"gamma": C}) is tree
    with pytest.raises(FormulaError):
        substitute(tree, {"xi": FIELD})


def test_programs_and_trees_are_copied_and_pickled(point):
    tree = parse("0.5*|xi|^2 - lse(beta * X @ xi + h)/beta", ALL)
    program = compile_tree(tree, masked=True, squeeze=True)
    for twin in (copy.deepcopy(program), pickle.loads(pickle.dumps(program))):  # noqa: S301
        assert twin.expr == tree
        assert torch.equal(twin(point), program(point))
    assert pickle.loads(pickle.dumps(tree)) == tree == copy.deepcopy(tree)  # noqa: S301
    assert compile_tree(parse(str(tree), ALL), masked=True, squeeze=True) is program
