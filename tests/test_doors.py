"""Wherever an energy is named: every form of one is taken, and what is wrong fails at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention import (
    AssociativeMemory,
    EnergyAttention,
    EnergyLookup,
    EnergyMultiheadAttention,
    EnergyPooling,
    load,
    make_layer,
    relax,
    replace_attention,
)
from attenergy.attention.graphs import EnergyAggregation, EnergyConv, EnergyGNN, energize_gps
from attenergy.attention.integrations.heads import EnergyHeads
from attenergy.energies import Energy, make_energy
from attenergy.registry import EnergySpec, Parameter, load_registry

REGISTRY = load_registry(plugins=False)
FORMULA = "0.5*|xi|^2 - lse(beta * X @ xi)/beta"
SPEC = EnergySpec(
    title="mine", formula=FORMULA, parameters={"beta": Parameter(init=1.0, constraint="positive")}
)


class Pull(Energy):
    """E = 1/2 |xi|^2 - lse(beta X xi)/beta."""

    reads_field = False
    entry: ClassVar = {"parameters": {"beta": {"init": 1.0, "constraint": "positive"}}}

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        beta = torch.as_tensor(self.values()["beta"])
        drive = beta * (xi @ X.mT)
        drive = drive if mask is None else drive.masked_fill(~mask, -torch.inf)
        return 0.5 * (xi * xi).sum(-1) - (drive.logsumexp(-1, keepdim=True) / beta).squeeze(-1)


def pull(xi, X, beta=1.0):
    return 0.5 * (xi * xi).sum(-1) - torch.logsumexp(beta * (X @ xi), -1) / beta


FORMS: dict[str, Any] = {"name": "lse", "formula": FORMULA, "entry": SPEC, "class": Pull,
                         "function": pull}  # fmt: skip


class Gps(nn.Module):
    """As much of a graph transformer as an energy needs."""

    def __init__(self) -> None:
        super().__init__()
        from torch_geometric.nn import GPSConv

        self.conv = GPSConv(8, None, heads=2, attn_type="multihead")


def _replaced(energy: Any, **settings: Any) -> nn.Module:
    return replace_attention(
        nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), energy, **settings
    )


def _relaxed(energy: Any, **settings: Any) -> Any:
    return relax(energy, torch.randn(3, 4), torch.randn(5, 4), **settings)


#: Every public call that takes an energy.
DOORS: dict[str, Callable[..., Any]] = {
    "EnergyAttention": partial(EnergyAttention, 8, 2),
    "EnergyPooling": partial(EnergyPooling, 8, 2),
    "EnergyLookup": partial(EnergyLookup, 8, 2, num_patterns=3),
    "EnergyMultiheadAttention": lambda e, **s: EnergyMultiheadAttention(8, 2, energy=e, **s),
    "EnergyHeads": lambda e, **s: EnergyHeads(e, 4, 2, **s),
    "make_layer": partial(make_layer, embed_dim=8, num_heads=2),
    "replace_attention": _replaced,
    "EnergyConv": partial(EnergyConv, 8, 8, 2),
    "EnergyAggregation": partial(EnergyAggregation, 8, 2),
    "EnergyGNN": lambda e, **s: EnergyGNN(8, 8, 1, heads=2, energy=e, **s),
    "energize_gps": lambda e, **s: energize_gps(Gps(), e, **s),
    "make_energy": partial(make_energy, dim=4),
    "AssociativeMemory": AssociativeMemory,
    "relax": _relaxed,
}
#: Arguments that are wrong, and what the error names.
BAD: list[tuple[Any, dict[str, Any], str]] = [
    *((form, {"beta": -3}, "beta") for form in FORMS.values()),
    *((form, {"beta": "many"}, "beta") for form in FORMS.values()),
    *((form, {"beta": [1.0]}, "beta") for form in FORMS.values()),
    *((form, {"betta": 3}, "betta.*did you mean 'beta'") for form in FORMS.values()),
    ("hopfield", {}, "hopfield.*did you mean"),
    ("softmax", {}, "mixer"),
    ("0.5*|xi|^2 - lse(beta * X @ xii)", {}, "column 29.*did you mean 'xi'"),
    ("0.5*|xi|^2 - lsee(X @ xi)", {}, "column 14.*did you mean 'lse'"),
    ("0.5*|xi|^2 - scale*lse(X @ xi)", {}, r"'scale'.*scale=1\.0"),
    ("0.5*|xi|^2 - steps*lse(X @ xi)", {"steps": 3}, "steps"),
    ("X @ xi", {}, "scalar"),
    (SPEC.model_copy(update={"formula": "|X|"}), {}, "scalar|xi"),
    (EnergySpec(title="mine", **{"class": "Nowhere"}), {}, "Nowhere"),
    (Energy, {}, "Energy alone"),
    (nn.Linear(2, 2), {}, "got Linear"),
    (nn.Linear, {}, "got Linear"),
    (3, {}, "got int"),
    (lambda xi: xi.sum(), {}, r"takes \(xi\)"),
    (lambda xi, X: X @ xi, {}, "one number"),
    (lambda xi, X: 1.0, {}, "no tensor"),
    (lambda xi, X: xi.nothing(), {}, "nothing"),
    (lambda xi, X, scale: scale * xi.sum(), {}, "needs its argument 'scale'"),
    (lambda xi, X, mask: (X @ xi).sum(), {}, "mask hides still acts"),
]
STEPS = [("steps", -1), ("steps", 1.5), ("step_size", -1.0), ("solver", "descnt")]


@pytest.mark.parametrize("door", DOORS)
def test_every_form_is_taken(door):
    for energy in FORMS.values():
        DOORS[door](energy, beta=2.0)


@pytest.mark.parametrize("door", DOORS)
def test_an_energy_that_is_made_is_taken_if_it_fits(door):
    heads = None if door in {"make_energy", "AssociativeMemory", "relax"} else 2
    made = make_energy(FORMULA, dim=4, num_heads=heads, beta=2.0)
    DOORS[door](made)
    with pytest.raises(ValueError, match=r"already has its own dim|argument 'beta'"):
        DOORS[door](made, beta=1.0)
    if door != "AssociativeMemory":
        with pytest.raises(ValueError, match=r"dim|must be"):
            DOORS[door](make_energy(FORMULA, dim=5, num_heads=heads))


def test_a_layer_uses_the_energy_that_is_made_and_several_use_copies():
    made = make_energy(pull, dim=4, num_heads=2)
    assert EnergyAttention(8, 2, made).energy is made
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 2)
    replace_attention(model, made)
    energies = [m for m in model.modules() if isinstance(m, Energy)]
    assert len(energies) == 2
    assert made not in energies
    assert energies[0] is not energies[1]


def test_a_layer_with_any_form_is_saved_or_says_why_not(tmp_path):
    x = torch.randn(2, 3, 8)
    savable: dict[str, tuple[Any, dict[str, Any]]] = {
        "formula": (FORMULA, {"beta": {"init": 2.0, "learnable": "no"}}),
        "entry": (SPEC, {}),
        "made": (make_energy(FORMULA, dim=4, num_heads=2, beta=2.0), {}),
    }
    for name, (energy, settings) in savable.items():
        layer = EnergyAttention(8, 2, energy, steps=2, **settings)
        layer.save_pretrained(tmp_path / name)
        assert torch.equal(load(tmp_path / name)(x), layer(x))
    for kind, energy in {"class": Pull, "function": pull}.items():
        for layer in (EnergyPooling(8, 2, energy), EnergyLookup(8, 2, energy, num_patterns=3)):
            with pytest.raises(ValueError, match=f"{kind} of yours.*register_energy"):
                layer.save_pretrained(tmp_path / "no")


@pytest.mark.parametrize("door", DOORS)
def test_what_is_wrong_fails_when_the_thing_is_made(door):
    for energy, settings, named in BAD:
        if energy == "softmax" and door == "make_layer":
            continue
        with pytest.raises((ValueError, TypeError), match=f"(?s){named}"):
            DOORS[door](energy, **settings)


@pytest.mark.parametrize(
    "door", [d for d in DOORS if d not in {"make_energy", "AssociativeMemory"}]
)
def test_steps_fail_when_the_layer_is_made(door):
    for name, value in STEPS:
        for energy in ("lse", FORMULA, pull):
            with pytest.raises(ValueError, match=name):
                DOORS[door](energy, **{name: value})
