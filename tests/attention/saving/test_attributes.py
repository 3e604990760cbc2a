"""Every plain attribute of every layer: what acts when it is changed is saved, or cannot be set."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest
import torch

import attenergy
from attenergy.attention import EnergyAttention, Transformer, make_mixer
from attenergy.attention.mixers.base import CLASSES
from attenergy.energies import Energy, make_energy
from attenergy.registry import ArgumentError, AttenergyError
from tests.attention.conftest import LAYERS, REGISTRY, model_sizes

pytestmark = pytest.mark.long  # thousands of changes

E, H, L = 8, 2, 6
RICH = {
    "rotary": True, "normalize_states": "layer_norm", "normalize_patterns": "l2", "num_kv_heads": 1,
    "steps": 3, "learn_step_size": "per_step",
}  # fmt: skip


def mixer(name):
    sizes = {"embed_dim": E, "num_heads": H, "registry": REGISTRY}
    if CLASSES[REGISTRY.mixers[name].class_].needs_length:
        sizes["length"] = L
    return make_mixer(name, **sizes)


MADE = (
    {f"energy {n}": lambda n=n: EnergyAttention(E, H, n, steps=2, registry=REGISTRY)
     for n in REGISTRY.energies}
    | {f"mixer {n}": lambda n=n: mixer(n) for n in REGISTRY.mixers}
    | {f"layer {n}": make for n, make in LAYERS.items()}
    | {"layer with options": lambda: LAYERS["attention"](**RICH),
       "model": lambda: Transformer(
           kind="vector", size=E, outputs=3, positions="relative", **model_sizes())}
)  # fmt: skip
TEXTS = sorted(
    {str(choice)
     for entry in REGISTRY.energies.values() for option in entry.options.values()
     for choice in [option.default, *(option.search.choices if option.search else [])]
     if isinstance(choice, str)}
    | {"weights", "state", "scores", "complete"}
)  # fmt: skip


def others(value):
    """Other values of the same kind."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [text for text in TEXTS if text != value]
    return [value + 1] if isinstance(value, int) else [value * 0.5, value + 0.25]


def attributes(module):
    """The plain attributes of a module and of its parts, as `(part, name, value)`."""
    for path, part in module.named_modules():
        if not type(part).__module__.startswith("attenergy."):
            continue  # torch's own
        for name in dir(part):
            if name.startswith("_") or name in ("training", "T_destination", "call_super_init"):
                continue
            if isinstance(getattr(type(part), name, None), property):
                if getattr(type(part), name).fset is None:
                    continue
            elif name not in vars(part) and not isinstance(part, Energy):
                continue  # of the class, and no statement of what an energy does
            value = getattr(part, name)
            if isinstance(value, bool | int | float | str):
                yield path, name, value


def refused(target, name, value):
    """Set an attribute; what is said if that is refused."""
    try:
        setattr(target, name, value)
    except AttenergyError as error:
        return str(error)
    return ""


def output(module, inputs):
    torch.manual_seed(5)
    return module(inputs)


@pytest.mark.parametrize("kind", MADE)
def test_what_acts_is_saved_or_refused(kind, tmp_path):
    torch.manual_seed(3)
    module = MADE[kind]().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        inputs = torch.randn(2, L, E)
        before = output(module, inputs)
    part = "model" if kind == "model" else "layer"
    count = 0
    for number, (path, name, value) in enumerate(attributes(module)):
        for other in others(value):
            changed = copy.deepcopy(module)
            target = changed.get_submodule(path)
            if said := refused(target, name, other):
                assert name in said
                assert getattr(target, name) == value
                count += 1
                if "is fixed" in said:
                    break
                continue
            with torch.no_grad():
                after = output(changed, inputs)
                if torch.equal(after, before):
                    continue
                folder = changed.save_pretrained(tmp_path / f"{number}", force=True)
                loaded = attenergy.load(folder, part=part).eval()
                torch.testing.assert_close(output(loaded, inputs), after, msg=f"{path}.{name}")
    assert count or kind.startswith("mixer")


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda: make_energy("energy_transformer", dim=4), "self_excluded",
         r"self_excluded is fixed when the EnergyTransformer is made \(True\), got False; make a"),
        (lambda: make_energy("lse", dim=4), "reads_field", "reads_field is fixed when the Formula"),
        (lambda: make_mixer("attention_bn", embed_dim=4, num_heads=2).mean_weight, "learned",
         r"learned is fixed when the MeanWeight is made"),
    ],
)  # fmt: skip
def test_the_message_says_what_to_do(make, name, message):
    module = make()
    value = getattr(module, name)
    with pytest.raises(ArgumentError, match=message):
        setattr(module, name, not value)
    setattr(module, name, value)
    copied = copy.deepcopy(module)
    with pytest.raises(ArgumentError, match=message):
        setattr(copied, name, not value)


def test_an_energy_of_ones_own_is_free_until_it_is_made_and_where_names_say_so():
    class Counting(Energy):
        entry: ClassVar = {"title": "Counting"}

        def setup(self):
            self.sharpness, self._calls = 1.0, 0
            self.sharpness = 2.0

        def energy(self, xi, X, mask, field):
            self._calls += 1
            self.last = "called"
            self.last = "called again"
            return self.sharpness * xi.square().sum(-1)

    made = make_energy(Counting, dim=4)
    made(torch.randn(3, 4), torch.randn(2, 4))
    assert (made._calls, made.last) == (1, "called again")
    with pytest.raises(ArgumentError, match=r"sharpness is fixed .* \(2\.0\), got 3\.0"):
        made.sharpness = 3.0
    made.train(False).requires_grad_(False)
