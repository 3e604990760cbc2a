"""EnergyAggregation against a relaxation set by set."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.nn import SAGEConv, Sequential
from torch_geometric.nn.aggr import MultiAggregation

from attenergy.attention import attention_weights, relax
from attenergy.attention.graphs import EnergyAggregation
from tests.attention.conftest import REGISTRY, draw
from tests.attention.graphs.conftest import ON_GRAPHS, C, H

#: Elements of sets 0, 1 and 3, in no order; set 2 is empty.
INDEX = torch.tensor([3, 0, 0, 1, 3, 0, 3])


def make(energy="lse", **options):
    torch.manual_seed(1)
    module = EnergyAggregation(C, H, energy, **({"steps": 2, "registry": REGISTRY} | options))
    return module.double()


def one_set(module, x):
    """The result for a single set (n, C), with dense tensors (H, 1, D) and (H, n, D)."""
    energy, heads = module.energy, module.relaxation
    X = module.key(x).view(-1, H, C // H).transpose(0, 1)
    xi = energy.from_real(module.query.unsqueeze(1))
    state = relax(energy, xi, X, steps=heads.moves, step_size=heads.step_size).state
    if module.value is None:
        return module.out(state.flatten())
    values = module.value(x).view(-1, H, C // H).transpose(0, 1)
    return module.out((attention_weights(energy, state, X) @ values).flatten())


@pytest.mark.parametrize("energy", ON_GRAPHS)
def test_every_set_is_relaxed_by_itself(energy):
    module, x = make(energy), draw(len(INDEX), C)
    got = module(x, INDEX, dim_size=4)
    for number in (0, 1, 3):
        torch.testing.assert_close(got[number], one_set(module, x[number == INDEX]))
    assert got[2].isfinite().all()


@pytest.mark.parametrize("energy", ON_GRAPHS)
def test_the_order_of_elements_does_not_matter(energy):
    module, x, order = make(energy), draw(len(INDEX), C), torch.randperm(len(INDEX))
    got = module(x[order], INDEX[order], dim_size=4)
    torch.testing.assert_close(got, module(x, INDEX, dim_size=4))


def test_one_step_of_log_sum_exp_is_pooling_by_attention():
    module, x = make(steps=1), draw(len(INDEX), C)
    attention = torch.nn.MultiheadAttention(C, H, batch_first=True).double()
    eye = torch.eye(C, dtype=torch.float64)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([eye, module.key.weight, module.value.weight]))
        attention.in_proj_bias.zero_()
    attention.out_proj.load_state_dict(module.out.state_dict())
    for number in (0, 1, 3):
        own = x[number == INDEX]
        want, _ = attention(module.query.view(1, C), own, own)
        torch.testing.assert_close(module(x, INDEX, dim_size=4)[number], want[0])


@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_sets_given_by_their_starts(energy):
    module, x = make(energy), draw(len(INDEX), C)
    starts = torch.tensor([0, 3, 4, 4, 7])
    got = module(x, ptr=starts)
    torch.testing.assert_close(got, module(x, torch.tensor([0, 0, 0, 1, 3, 3, 3])))
    torch.testing.assert_close(module(x), module(x, ptr=torch.tensor([0, 7])))


@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_empty_sets_and_none(energy):
    module = make(energy)
    empty = module(draw(0, C), INDEX[:0], dim_size=2)
    assert empty.isfinite().all()
    torch.testing.assert_close(empty, module(draw(1, C), INDEX[:1], dim_size=4)[[0, 1]])
    assert module(draw(0, C), INDEX[:0], dim_size=0).shape == (0, C)


@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_it_is_the_aggregation_of_another_layer_and_learns_there(energy):
    conv = SAGEConv(C, 3, aggr=make(energy)).double()
    conv.reset_parameters()
    x, edges = draw(5, C), torch.tensor([[0, 1, 2, 3, 4], [1, 0, 0, 2, 2]])
    out = conv(x, edges)
    want = conv.lin_l(conv.aggr_module(x[edges[0]], edges[1], dim_size=5)) + conv.lin_r(x)
    torch.testing.assert_close(out, want)
    out.square().sum().backward()
    parameters = dict(conv.named_parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters.values())
    assert parameters["aggr_module.query"].grad.any()


def test_it_reads_out_whole_graphs_and_joins_other_aggregations():
    x, batch = draw(6, C), torch.tensor([0, 0, 1, 1, 1, 2])
    model = Sequential("x, edges, batch", [
        (SAGEConv(C, C), "x, edges -> x"), (make("rbm"), "x, batch -> x")
    ]).double()  # fmt: skip
    assert model(x, torch.tensor([[0, 2], [1, 3]]), batch).shape == (3, C)
    both = MultiAggregation([make(), "max"])
    torch.testing.assert_close(both(x, batch)[:, :C], make()(x, batch))


def test_first_and_second_derivatives():
    for form in ("padded", "segments"):
        module = EnergyAggregation(2, 1, steps=3, form=form, registry=REGISTRY).double()
        x, index = draw(4, 2).requires_grad_(), torch.tensor([1, 0, 1, 1])
        assert torch.autograd.gradcheck(lambda x, m=module, i=index: m(x, i), x)
        assert torch.autograd.gradgradcheck(lambda x, m=module, i=index: m(x, i), x)


def test_compiled_copied_and_set_back():
    module, x = make(), draw(len(INDEX), C)
    want = module(x, INDEX, dim_size=4)
    torch.compiler.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, INDEX, dim_size=4), want)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301
        assert torch.equal(twin(x, INDEX, dim_size=4), want)
    query = module.query.clone()
    module.reset_parameters()
    assert not torch.equal(module.query, query)


def test_what_does_not_fit():
    for call, words in (
        (lambda: EnergyAggregation(0), "channels"),
        (lambda: EnergyAggregation(8, 3), "multiple"),
        (lambda: EnergyAggregation(8, 2, "hopfield"), "classical_hopfield"),
        (lambda: EnergyAggregation(8, 2, "potts"), "couples its states"),
        (lambda: make()(draw(3, 5), INDEX[:3]), r"\(n, 8\)"),
        (lambda: make()(draw(2, 3, C), INDEX[:3]), "two-dimensional"),
        (lambda: make()(draw(4, C), INDEX[:3]), r"numbers \(4,\), .* got \(3,\) of torch.int64"),
        (lambda: make()(draw(3, C), INDEX[:3].double()), r"got \(3,\) of torch.float64"),
        (lambda: make()(draw(3, C), INDEX[:3] - 9), "from 0.*, index has -"),
        (lambda: make()(draw(3, C), torch.tensor([0, 5, 1]), dim_size=2), "from 0 to 1, .* 0 to 5"),
        *(
            (lambda ends=ends: make()(draw(3, C), ptr=torch.tensor(ends)), "from 0 to .*, 3, and")
            for ends in ([0, 1, 2], [1, 3], [0, 2, 1, 3], [[0, 3]])
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_sets_without_numbers_that_may_be_looked_at():
    module, x, index = make(), draw(2, 3, C), torch.tensor([[0, 1, 1], [1, 0, 1]])
    want = torch.stack([module(*each, dim_size=2) for each in zip(x, index, strict=True)])
    mapped = torch.vmap(lambda x, index: module(x, index, dim_size=2))(x, index)
    torch.testing.assert_close(mapped, want)
    traced = make_fx(lambda x, index: module(x, index, dim_size=2))(x[0], index[0])
    torch.testing.assert_close(traced(x[1], index[1]), want[1])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = module(mode.from_tensor(x[0]), mode.from_tensor(index[0]), dim_size=2)
    assert fake.shape == want[0].shape
