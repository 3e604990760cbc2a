"""Any identifier names a parameter: none reaches generated code or an attribute of a module."""

from __future__ import annotations

import builtins
import copy
import inspect
import io
import keyword
import pickle

import pytest
import torch
from torch import nn

import attenergy
from attenergy.attention import gradient, make_layer
from attenergy.energies import formula_problems, make_energy
from attenergy.energies.language import PUBLIC, FormulaError
from attenergy.energies.names import SYMBOLS
from attenergy.registry import EnergySpec, RegistryError, load_registry
from attenergy.testing.cases import float64

TAKEN = {*SYMBOLS, *PUBLIC}
#: What generated code, its globals and its modules use, besides what Python and torch do.
IN_CODE = ("inf", "nan", "torch", "device", "operator", "p0", "p1", "p10", "add", "mul", "root",
           "fx", "Tensor", "NoneType", "length", "safe_sqrt", "logical_not", "raw", "fixed", "beta",
           "parameters_", "spec", "setup", "energy", "weights", "dim", "settings", "z")  # fmt: skip
SOURCES = (
    keyword.kwlist,
    keyword.softkwlist,
    dir(builtins),
    dir(nn.ParameterDict()),
    dir({}),
    IN_CODE,
)
NAMES = sorted(
    {name for names in SOURCES for name in names if name[0].isalpha() and len(name) <= 32} - TAKEN
)
GROUPS = [NAMES[i : i + 12] for i in range(0, len(NAMES), 12)]


@pytest.fixture(autouse=True)
def _in_float64():
    with float64():
        yield


def spec_of(names):
    """An entry that uses every name, with an initial value of its own for each."""
    inside = " + ".join(f"{name}*X @ xi" if i % 2 else name for i, name in enumerate(names))
    first = names[0]
    declared = {name: {"init": 0.5 + 0.1 * i} for i, name in enumerate(names)}
    declared[first]["constraint"] = "positive"
    formula = f"0.5*|xi|^2 - lse(X @ xi + h + {inside})/{first}"
    return EnergySpec.model_validate(
        {"title": "test", "formula": formula, "parameters": declared, "quadratic": f"1/{first}"}
    )


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_names_do_not_change_what_is_computed(names):
    plain = make_energy(spec_of([f"plain{i}" for i in range(len(names))]), dim=3, num_heads=2)
    energy = make_energy(spec_of(names), dim=3, num_heads=2, **{names[-1]: 1.7})
    with torch.no_grad():
        plain.parameters_.raw[f"plain{len(names) - 1}"].fill_(1.7)
    xi, X, mask = torch.randn(2, 4, 3), torch.randn(2, 5, 3), torch.ones(4, 5).tril(1).bool()
    assert energy.has_weights
    for backend in ("eager", "scores"):
        got = gradient(energy, xi, X, mask=mask, backend=backend)
        torch.testing.assert_close(got, gradient(plain, xi, X, mask=mask, backend=backend))
    torch.testing.assert_close(energy.quadratic(), plain.quadratic())
    assert list(energy.values()) == names
    energy(xi, X, mask=mask).sum().backward()
    assert all(p.grad.isfinite().all() for p in energy.parameters())
    # A module that holds them can be moved, switched, copied, pickled and loaded.
    energy.float().train().eval().requires_grad_(False).double()
    for twin in (copy.deepcopy(energy), pickle.loads(pickle.dumps(energy))):  # noqa: S301
        torch.testing.assert_close(twin(xi, X), plain(xi, X))
    twin = make_energy(spec_of(names), dim=3, num_heads=2)
    torch.save(energy.state_dict(), file := io.BytesIO())
    file.seek(0)
    twin.load_state_dict(torch.load(file), assign=True)
    torch.testing.assert_close(twin(xi, X), plain(xi, X))
    torch.func.functional_call(twin, dict(energy.named_parameters()), (xi, X))


def test_names_that_always_worked_keep_their_place_in_a_state_dictionary():
    for name in ("beta", "inf", "c1", "X_0", "data", "match", "torch"):
        energy = make_energy(spec_of([name]), dim=3)
        assert list(energy.state_dict()) == [f"parameters_.raw.{name}"]
    energy = make_energy(spec_of(["type", "raw_type", "training"]), dim=3)
    assert len(energy.state_dict()) == 3


def test_names_do_not_reach_the_code_of_an_exported_program():
    names = ["lambda", "None", "inf", "torch", "self", "type", "keys", "print", "match", "p0"]
    energy = make_energy(spec_of(names), dim=3)
    xi, X = torch.randn(4, 3), torch.randn(5, 3)
    program = torch.export.export(energy, (xi, X)).module()
    torch.testing.assert_close(program(xi, X), energy(xi, X))


@pytest.mark.parametrize("name", ["self", "cls"])
def test_a_parameter_of_a_name_in_methods_can_be_set_in_every_layer(name):
    spec = spec_of([name])
    for layer in (
        attenergy.EnergyAttention(8, 2, spec, **{name: 2.0}),
        attenergy.EnergyPooling(8, 2, spec, **{name: 2.0}).attention,
        attenergy.EnergyLookup(8, 2, spec, num_patterns=3, **{name: 2.0}),
        attenergy.EnergyMultiheadAttention(8, 2, energy=spec, **{name: 2.0}).heads,
    ):
        got = layer.energy.values()[name]
        torch.testing.assert_close(got, torch.full_like(got, 2.0))


def test_a_choice_may_have_any_name_too():
    for name in ("lambda", "self", "torch", "inf"):
        choice = {"default": "class", "options": {"class": "lse(import)", "def": "sum_n(import)"}}
        spec = EnergySpec.model_validate(
            {"title": "t", "formula": f"|xi|^2 - {name}(X @ xi)",
             "choices": {name: {**choice, "argument": "import"}}}
        )  # fmt: skip
        xi, X = torch.randn(3, 4), torch.randn(5, 4)
        wanted = {"class": (X @ xi.mT).logsumexp(0), "def": (X @ xi.mT).sum(0)}
        for option, pull in wanted.items():
            energy = make_energy(spec, dim=4, **{name: option})
            torch.testing.assert_close(energy(xi, X), (xi * xi).sum(-1) - pull)


def test_a_file_may_use_keywords_but_not_the_arguments_of_a_layer(tmp_path):
    def registry(name):
        file = tmp_path / "mine.yaml"
        file.write_text(
            "version: 1\nenergies:\n  mine:\n    title: t\n"
            f"    formula: 0.5*|xi|^2 - lse({name}*X @ xi)/{name}\n"
            f"    parameters: {{{name}: {{init: 0.7, constraint: positive}}}}\n    quadratic: 1.0\n"
        )
        return load_registry(file, builtin=False, plugins=False)

    xi, X = torch.randn(3, 4), torch.randn(5, 4)
    for name in ("lambda", "inf", "type", "keys", "torch", "self", "training", "forward", "values"):
        made = registry(name)
        assert formula_problems(made) == []
        energy = make_energy("mine", dim=4, registry=made)
        wanted = 0.5 * (xi * xi).sum(-1) - (0.7 * X @ xi.mT).logsumexp(0) / 0.7
        torch.testing.assert_close(energy(xi, X), wanted)
    makers = (make_energy, make_layer, attenergy.EnergyAttention, attenergy.EnergyPooling,
              attenergy.EnergyLookup, attenergy.EnergyMultiheadAttention)  # fmt: skip
    for maker in makers:
        named = inspect.signature(maker).parameters.values()
        arguments = [p.name for p in named if p.kind is not p.VAR_KEYWORD]
        arguments += getattr(maker, "SETTINGS", ())
        for name in [*arguments, *getattr(maker, "PROJECTION_SETTINGS", ())]:
            with pytest.raises(RegistryError, match=f"the name '{name}' is reserved"):
                registry(name)


def test_a_parameter_is_not_taken_for_the_radial_factor():
    scale = {"radial": {"init": 0.7, "constraint": "positive"}}
    formula = "0.5*radial*|xi|^2 - lse(X @ xi)"
    entry = {"title": "t", "formula": formula, "parameters": scale}
    make_energy(EnergySpec.model_validate(entry), dim=3)
    with pytest.raises(FormulaError, match="another name"):
        make_energy(EnergySpec.model_validate({**entry, "quadratic": "radial"}), dim=3)
