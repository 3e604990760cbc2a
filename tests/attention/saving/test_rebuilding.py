"""What could not be read again is not written, and saving leaves a module as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import attenergy
from attenergy.attention.graphs import EnergyConv
from attenergy.registry import ArgumentError
from tests.attention.conftest import LAYERS, REGISTRY
from tests.attention.saving.conftest import MADE, SEQUENCE, Doubled, check_same, multihead

EVERY = {name: make for name, (make, _) in MADE.items() if "saw its width" not in name} | LAYERS


def a_matrix(module):
    """A module and the name of a matrix that it holds."""
    return next(
        (m, name)
        for m in module.modules()
        for name, parameter in m.named_parameters(recurse=False)
        if parameter.ndim == 2
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "add",
    [
        lambda m, n: prune.random_unstructured(m, n, 0.5),
        parametrizations.weight_norm,
        lambda m, _: m.add_module("adapter", nn.Linear(2, 2)),
    ],
    ids=["pruned", "parametrised", "adapted"],
)
def test_what_would_not_be_read_again_is_not_written(name, add, tmp_path):
    module = EVERY[name]()
    add(*a_matrix(module))
    with pytest.raises(ArgumentError, match=r"cannot be saved: what its arguments make has no"):
        module.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_what_was_made_permanent_is_saved(tmp_path):
    module = multihead()
    parametrizations.weight_norm(module.out_proj)
    nn.utils.parametrize.remove_parametrizations(module.out_proj, "weight")
    inputs = (SEQUENCE,) * 3
    check_same(module, attenergy.load(module.save_pretrained(tmp_path / "saved")), inputs)


def test_a_class_with_a_forward_of_its_own_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="a `forward` of its own"):
        Doubled(8, 4, 2, registry=REGISTRY).save_pretrained(tmp_path / "saved")


def test_a_module_is_as_before_after_it_was_saved(tmp_path):
    """Also where its state dictionary holds the parameters themselves."""

    class Whole(EnergyConv):
        def state_dict(self, *args, **options):
            return super().state_dict(*args, **options | {"keep_vars": True})

    module = Whole(8, 4, 2, registry=REGISTRY)
    module.key.weight.requires_grad_(False)
    before = {name: (id(p), p.requires_grad) for name, p in module.named_parameters()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    module.save_pretrained(tmp_path / "saved")
    assert torch.rand(1) == expected
    assert {n: (id(p), p.requires_grad) for n, p in module.named_parameters()} == before


def test_what_computes_nothing_may_be_added(tmp_path):
    module = multihead()
    module.criterion = nn.CrossEntropyLoss()
    module.out_proj = nn.Linear(8, 8)  # PyTorch's own is a sub-class that computes the same
    inputs = (SEQUENCE,) * 3
    check_same(module, attenergy.load(module.save_pretrained(tmp_path / "saved")), inputs)
