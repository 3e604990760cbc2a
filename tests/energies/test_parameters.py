"""Parameters: initial values, constraints, shapes and what is refused."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attenergy.energies import FormulaError, make_energy, source_of
from attenergy.energies.parameters import constant, initial_value
from attenergy.registry import Parameter, ParameterError, load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)


def parameter(**changes) -> Parameter:
    return Parameter.model_validate({"init": 1.0, **changes})


@pytest.mark.parametrize(
    ("learnable", "shape", "heads", "stored"),
    [
        ("per_head", [], 3, (3, 1, 1)),
        ("per_head", ["D"], 3, (3, 1, 4)),
        ("per_head", ["D", "D"], 3, (3, 4, 4)),
        ("per_head", [], None, ()),
        ("per_head", ["D"], None, (4,)),
        ("per_head", ["D", "D"], None, (4, 4)),
        ("shared", [], 3, ()),
        ("shared", ["D"], 3, (4,)),
        ("shared", ["D", "D"], 3, (4, 4)),
        ("no", ["D"], 3, (4,)),
    ],
)
def test_shapes(learnable, shape, heads, stored, energy_of):
    declared = {"init": 0.7, "learnable": learnable, "shape": shape}
    reads = {0: "p*xi @ xi", 1: "p @ xi", 2: "xi @ (p @ xi)"}[len(shape)]
    energy = energy_of(reads, 4, heads, p=declared)
    value = energy.values()["p"]
    assert energy.parameters_.raw["p"].shape == stored
    assert value.shape == ((1, *stored) if len(stored) == 1 else stored)
    assert [p.requires_grad for p in energy.parameters()] == [learnable != "no"]
    diagonal = value.diagonal(dim1=-2, dim2=-1) if len(shape) == 2 else value
    torch.testing.assert_close(diagonal, torch.full_like(diagonal, 0.7))
    assert len(shape) < 2 or value.count_nonzero() == diagonal.numel()


def test_a_scalar_that_is_not_learned_is_a_number(energy_of):
    energy = energy_of("p*xi @ xi", 4, 3, p={"init": 0.7, "learnable": "no"})
    assert energy.values() == {"p": 0.7}
    assert not list(energy.parameters())
    assert "p=0.7" in repr(energy)


@pytest.mark.parametrize("shape", [[], ["D"], ["D", "D"]], ids=len)
@pytest.mark.parametrize("constraint", ["real", "positive", "unit"])
@pytest.mark.parametrize("learnable", ["per_head", "shared", "no"])
def test_initial_values_have_the_digits_of_the_type_that_is_asked_for(
    shape, constraint, learnable, entry
):
    reads = {0: "p*xi @ xi", 1: "p @ xi", 2: "xi @ (p @ xi)"}[len(shape)]
    declared = {"init": 1 / 3, "shape": shape, "constraint": constraint, "learnable": learnable}
    energy = make_energy(entry(reads, p=declared), dim=4, num_heads=2)

    def value():
        digits = torch.as_tensor(energy.values()["p"], dtype=torch.float64)
        digits = digits.diagonal(dim1=-2, dim2=-1) if len(shape) == 2 else digits
        return digits.flatten()[0].item()

    energy.double()
    assert abs(value() - 1 / 3) < 1e-15
    energy.float()
    energy.double()
    assert abs(value() - 1 / 3) < 1e-15
    for raw in energy.parameters():  # what was learned, or loaded, keeps its value
        raw.detach().mul_(1.5)
    before = [raw.detach().float() for raw in energy.parameters()]
    energy.float().double()
    assert all(map(torch.equal, before, [raw.detach().float() for raw in energy.parameters()]))
    assert all(torch.equal(raw, raw.float().double()) for raw in energy.parameters())


def test_a_default_type_is_as_good_as_a_change_of_type():
    with float64():
        wanted = make_energy("lse", dim=7, registry=REGISTRY).values()["beta"]
    got = make_energy("lse", dim=7, registry=REGISTRY).double().values()["beta"]
    assert got.item() == pytest.approx(7**-0.5, rel=1e-15)
    assert got.item() == wanted.item()


@given(st.floats(1e-6, 1e6))
def test_positive_parameters_start_where_the_entry_says_and_stay_positive(value):
    energy = make_energy("lse", dim=4, num_heads=2, beta=value, registry=REGISTRY)
    with torch.no_grad():
        start = energy.values()["beta"]
        torch.testing.assert_close(start, torch.full((2, 1, 1), value), rtol=1e-5, atol=0.0)
        energy.parameters_.raw["beta"].sub_(30.0)
        assert (energy.values()["beta"] > 0).all()


@given(st.floats(1e-4, 1 - 1e-4))
def test_unit_parameters_start_where_the_entry_says_and_stay_between_0_and_1(value):
    energy = make_energy("graph_memory", dim=4, mixing=value, registry=REGISTRY)
    with torch.no_grad():
        assert float(energy.values()["mixing"]) == pytest.approx(value, rel=1e-4)
        energy.parameters_.raw["mixing"].add_(5.0)
        assert value < energy.values()["mixing"] < 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("1/sqrt(D)", 0.25), ("D", 16.0), ("2*D^0.5 - 1", 7.0), (3, 3.0), ("-1e-3", -1e-3)],
)
def test_constants_in_the_head_width(text, value):
    assert constant(text, 16) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1/sqrt(d)", "unknown name 'd'; did you mean 'D'"),
        ("count_d()", "this is not a constant"),
        ("sum_n(D)", "sum_n reduces"),
        ("1/(D - 16)", "division by zero"),
        ("", "empty"),
    ],
)
def test_texts_that_are_no_constants(text, message):
    with pytest.raises(FormulaError, match=message):
        constant(text, 16)


@pytest.mark.parametrize(
    ("declared", "setting", "message"),
    [
        ({"constraint": "positive"}, 0, "'p' must be above 0, got 0"),
        ({"constraint": "positive"}, -1.5, "'p' must be above 0, got -1.5"),
        ({"constraint": "unit", "init": 0.5}, 1, "'p' must lie between 0 and 1, got 1"),
        ({"constraint": "unit", "init": 0.5}, 0.0, "'p' must lie between 0 and 1, got 0"),
        ({}, float("nan"), "'p' must be a finite number, got nan"),
        ({}, float("inf"), "'p' must be a finite number, got inf"),
        ({}, True, "'p' must be a number or an expression in D, got True"),
        ({}, [1.0], "'p' must be a number or an expression in D, got"),
        ({}, "sqrt(E)", "'p': .*unknown name 'E'"),
    ],
)
def test_settings_that_are_refused(declared, setting, message):
    with pytest.raises(ValueError, match=message):
        initial_value("p", parameter(**declared), 4, setting)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lse", {"beat": 1.0}, r"no argument 'beat' \(did you mean 'beta'\?\); known: .*: beta$"),
        ("rbm", {"prior": "spinn"}, r"'prior' cannot be 'spinn' \(did you mean 'spin'\?\)"),
        ("graph_hopfield", {"graph": "rign"}, r"no graph 'rign' \(did you mean 'ring'\?\)"),
        (
            "graph_hopfield",
            {"graph_seed": -1},
            "'graph_seed' must be a whole number from 0, got -1",
        ),
        (
            "graph_memory",
            {"graph_seed": 0.5},
            "'graph_seed' must be a whole number from 0, got 0.5",
        ),
        ("graph_memory", {"graph_seed": True}, "must be a whole number from 0, got True"),
        ("lsee", {}, "did you mean 'lse'"),
        ("hyla", {}, "'hyla' is a mixer and has no energy; energies: lse, "),
    ],
)
def test_wrong_settings_of_built_in_energies(name, settings, message):
    with pytest.raises(ValueError, match=message):
        make_energy(name, dim=4, **settings)


@pytest.mark.parametrize("sizes", [{"dim": 0}, {"dim": 4, "num_heads": 0}])
def test_sizes_that_are_refused(sizes):
    with pytest.raises(ValueError, match="dim and num_heads must be at least 1"):
        make_energy("lse", **sizes)


def test_every_parameter_gets_a_gradient():
    for name in ("lse", "rbm", "polynomial", "graph_hopfield", "graph_memory"):
        energy = make_energy(name, dim=4, num_heads=2)
        out = energy(torch.randn(2, 2, 3, 4), torch.randn(2, 2, 5, 4))
        out.sum().backward()
        for raw in energy.parameters():
            assert raw.grad.abs().min() > 0, name


def test_quadratic_parts_follow_their_parameters():
    energy = make_energy("graph_hopfield", dim=4, num_heads=2, coupling=0.5)
    torch.testing.assert_close(energy.quadratic(), torch.full((2, 1, 1), 3.0))
    assert make_energy("lse", dim=4).quadratic() == 1.0
    assert make_energy("polynomial", dim=4).quadratic() is None


@pytest.mark.parametrize(
    ("quadratic", "message"),
    [
        ("betta", "did you mean 'beta'"),
        (0, "must be above 0"),
        ("1 - 2", "must be above 0, got -1"),
    ],
)
def test_quadratic_parts_that_are_refused(quadratic, message, entry):
    spec = entry("beta*|xi|^2", beta={"init": 1.0}).model_copy(update={"quadratic": quadratic})
    with pytest.raises(ValueError, match=message):
        make_energy(spec, dim=4)


def test_copies_have_parameters_of_their_own():
    energy = make_energy("lse", dim=4, num_heads=2)
    twin = copy.deepcopy(energy)
    with torch.no_grad():
        twin.parameters_.raw["beta"].add_(math.log(2))
    torch.testing.assert_close(twin.values()["beta"], 2 * energy.values()["beta"])
    energy.load_state_dict(twin.state_dict())
    assert torch.equal(twin.values()["beta"], energy.values()["beta"])


def of_all_kinds(value):
    """A number in all the kinds that Python and numpy have for it."""
    kinds = [float, np.float16, np.float32, np.float64]
    if value == int(value):
        kinds += [int, np.int8, np.int64, np.uint16]
    return [kind(value) for kind in kinds]


@pytest.mark.parametrize(
    "number", of_all_kinds(2.0) + of_all_kinds(0.5), ids=lambda v: type(v).__name__
)
@pytest.mark.parametrize("constraint", ["real", "positive"])
def test_numbers_of_every_kind_start_a_parameter(number, constraint):
    value = initial_value("p", parameter(constraint=constraint), 4, number)
    assert type(value) is float
    assert value == float(number)


@pytest.mark.parametrize("number", of_all_kinds(3.0), ids=lambda v: type(v).__name__)
def test_settings_of_every_kind(number):
    """Parameters, options, and what is saved are numbers of Python's."""
    energy = make_energy("polynomial", dim=4, power=number, registry=REGISTRY)
    same = make_energy("polynomial", dim=4, power=3, registry=REGISTRY)
    xi, X = torch.randn(2, 4), torch.randn(5, 4)
    torch.testing.assert_close(energy(xi, X), same(xi, X))
    assert all(type(v).__module__ == "builtins" for v in energy.settings.values())
    source = source_of("0.5*|xi|^2 - lse(g*X @ xi)/g", {"g": {"init": number}})
    assert type(source.spec.parameters["g"].init) in (int, float)


@pytest.mark.parametrize(
    "number", [np.bool_(True), True, np.complex64(1), [1.0], torch.tensor(1.0)]
)
def test_what_is_no_number_starts_no_parameter(number):
    with pytest.raises(ParameterError, match="must be a number or an expression in D, got "):
        initial_value("p", parameter(), 4, number)


@pytest.mark.parametrize(
    "number",
    [10**400, -(10**400), 10**5000, np.float64("inf"), float("nan")],
    ids=["large", "small", "of_many_digits", "infinite", "nan"],
)
def test_numbers_beyond_all_types_are_refused(number):
    with pytest.raises(ParameterError, match="must be a finite number, got ") as caught:
        initial_value("p", parameter(), 4, number)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_parameter_starts_with_a_number_of_its_type(dtype):
    """What would be infinite, or 0 where only numbers above 0 are allowed, is refused."""
    limits = torch.finfo(dtype)
    for value in (limits.max, limits.smallest_normal):
        assert initial_value("p", parameter(constraint="positive"), 4, value, dtype) == value
    if dtype == torch.float64:
        return
    for value in (limits.max * 2.1, limits.smallest_normal * limits.eps / 4):
        with pytest.raises(ParameterError, match=r"which is (infinity|0) there"):
            initial_value("p", parameter(constraint="positive"), 4, value, dtype)
    assert initial_value("p", parameter(), 4, 1e-300, dtype) == 1e-300  # free: 0 is allowed


def test_the_type_is_that_of_new_tensors():
    with pytest.raises(ParameterError, match=r"that float32 can hold, got 1e\+39"):
        make_energy("lse", dim=4, beta=1e39, registry=REGISTRY)
    with float64():
        energy = make_energy("lse", dim=4, beta=1e39, registry=REGISTRY)
    X = torch.eye(4, dtype=torch.float64)
    assert energy(X[:1], X).isfinite().all()
    energy.parameters_.assign("beta", 1e50)  # as the tensor's type allows
    energy.float()
    with pytest.raises(ParameterError, match="float32 can hold"):
        energy.parameters_.assign("beta", 1e50)
