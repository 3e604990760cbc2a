"""States and patterns of one sequence: shapes and the layer say so, not which tensors are one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.utils.checkpoint import checkpoint

import attenergy
from attenergy.attention.integrations.replace import replace_attention
from attenergy.attention.layers.energy_attention import EnergyAttention
from attenergy.energies import make_energy
from tests.attention.conftest import REGISTRY, draw, moved
from tests.attention.integrations.conftest import B, E, H, L, encoder_layer, make_multihead

MADE = {n: make_energy(n, dim=E // H, num_heads=H, registry=REGISTRY) for n in REGISTRY.energies}
#: Those to which it matters, and of these those that read patterns and those that do not.
TOGETHER = [n for n, made in MADE.items() if made.states_interact or not made.reads_patterns]
COUPLED = [n for n in TOGETHER if MADE[n].reads_patterns]
ALONE = [n for n in TOGETHER if not MADE[n].reads_patterns]
#: Of which graphs are made, which takes longer.
FEW = ["graph_hopfield", "energy_transformer", "place_rbm"]
PADDING = torch.zeros(B, L, dtype=torch.bool)
PADDING[1, -2:] = True
REAL = ~PADDING


def layer(energy, **options):
    return moved(make_multihead(energy, batch_first=True, steps=3, **options))


def inputs():
    return draw(B, L, E).float().double().requires_grad_()


def through_checkpoint(ours, x):
    def read(*three):
        return ours(*three, key_padding_mask=PADDING)[0]

    return checkpoint(read, x, x, x, use_reentrant=True)


def per_sample(ours, x):
    def read(q, p):
        return ours(q[None], q[None], q[None], key_padding_mask=p[None])[0][0]

    return vmap(read)(x, PADDING)


def without_batch(ours, x):
    rows = zip(x, PADDING, strict=True)
    return torch.stack([ours(r, r.clone(), r, key_padding_mask=p)[0] for r, p in rows])


def exported(ours, x):
    three = (x, x.clone(), x.clone())
    program = torch.export.export(ours, three, {"key_padding_mask": PADDING})
    return functional_call(program.module(), dict(ours.named_parameters()), three, {
        "key_padding_mask": PADDING,
    })[0]  # fmt: skip


def compiled(ours, x):
    torch.compiler.reset()  # else what differs between entries is made an input of the graph
    return torch.compile(WAYS["clones"], backend="eager", fullgraph=True)(ours, x)


WAYS = {
    "clones": lambda ours, x: ours(x, x.clone(), x.clone(), key_padding_mask=PADDING)[0],
    "another key": lambda ours, x: ours(x, x.clone(), x, key_padding_mask=PADDING)[0],
    "another query": lambda ours, x: ours(x.clone(), x, x, key_padding_mask=PADDING)[0],
    "views": lambda ours, x: ours(x, x[:], x[:], key_padding_mask=PADDING)[0],
    "casts": lambda ours, x: ours(
        x, x.float().double(), x.float().double(), key_padding_mask=PADDING
    )[0],
    "a mask for each head": lambda ours, x: ours(
        x, x.clone(), x,
        attn_mask=PADDING[:, None, None].expand(B, H, L, L).reshape(B * H, L, L),
    )[0],
    "checkpoint": through_checkpoint,
    "samples": per_sample,
    "no batch": without_batch,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TOGETHER)
def test_copies_of_one_sequence_are_read_as_one_tensor(name, way):
    """Values and gradients, of the input and of all parameters."""
    ours, x = layer(name), inputs()
    wanted = [x, *(p for p in ours.parameters() if p.requires_grad)]

    def slopes(out):
        for tensor in wanted:
            tensor.grad = None
        out[REAL].square().sum().backward()
        zero = torch.zeros(())
        return [zero.expand_as(t) if t.grad is None else t.grad.clone() for t in wanted]

    want = ours(x, x, x, key_padding_mask=PADDING)[0]
    got = WAYS[way](ours, x)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(slopes(got), slopes(want), check_dtype=False)


@pytest.mark.long
@pytest.mark.parametrize("run", [compiled, exported])
@pytest.mark.parametrize("name", FEW)
def test_copies_in_a_graph_are_read_as_one_tensor(name, run):
    ours, x = layer(name), draw(B, L, E)
    want = ours(x, x, x, key_padding_mask=PADDING)[0]
    torch.testing.assert_close(run(ours, x), want)


@pytest.mark.parametrize("name", TOGETHER)
def test_it_is_energy_attention_with_the_same_weights(name):
    ours, x = layer(name), draw(B, L, E)
    other = EnergyAttention(E, H, name, steps=3, registry=REGISTRY).double()
    maps = dict(zip(("query", "key", "value"), zip(
        ours.in_proj_weight.chunk(3), ours.in_proj_bias.chunk(3), strict=True), strict=True
    ))  # fmt: skip
    with torch.no_grad():
        for part, (weight, bias) in maps.items():
            if (linear := getattr(other.projections, part, None)) is not None:
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
        other.projections.out.load_state_dict(ours.out_proj.state_dict())
    other.energy.load_state_dict(ours.heads.energy.state_dict())
    got = ours(x, x.clone(), x.clone(), key_padding_mask=PADDING)[0]
    torch.testing.assert_close(got, other(x, mask=REAL[:, None, None]))


@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_padding_changes_nothing_beside_patterns_that_are_added(name, option):
    """Pattern L + 1 belongs to no state; rows are as they are without padding."""
    ours, x = layer(name, **{option: True}), draw(B, L, E)
    got = ours(x, x, x, key_padding_mask=PADDING)[0]
    for out, row, real in zip(got, x, REAL, strict=True):
        torch.testing.assert_close(out[real], ours(row[real], row[real], row[real])[0])


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("options", [
    {"add_bias_kv": True}, {"add_zero_attn": True}, {"cross_attention": True},
])  # fmt: skip
def test_energies_of_the_states_alone_have_no_other_patterns(name, options):
    with pytest.raises(ValueError, match=f"of the states alone.*{next(iter(options))}"):
        layer(name, **options)


@pytest.mark.parametrize(
    ("name", "compile_it"),
    [(n, False) for n in TOGETHER] + [pytest.param(n, True, marks=pytest.mark.long) for n in FEW],
)
def test_other_numbers_in_place_of_the_same_sequence_are_refused(name, compile_it):
    """By the numbers, where they would act; a position of NaN on both sides is the same."""
    ours, x, y = layer(name), draw(B, L, E), draw(B, L, E)
    torch.compiler.reset()  # else what differs between entries is made an input of the graph
    read = torch.compile(ours, backend="eager", fullgraph=True) if compile_it else ours
    with pytest.raises((ValueError, RuntimeError), match=r"couples states|states alone"):
        read(x, y, y, key_padding_mask=PADDING)
    if name in COUPLED:  # nothing is hidden from all
        nothing = torch.zeros_like(PADDING)
        cross = layer(name, cross_attention=True)
        cross.load_state_dict(ours.state_dict())
        for masks in ({}, {"key_padding_mask": nothing}):
            torch.testing.assert_close(read(x, y, y, **masks), cross(x, y, y, **masks))
    x[0, -1] = torch.nan
    read(x, x.clone(), x.clone(), key_padding_mask=PADDING)


@pytest.mark.parametrize("keys", [L - 1, L, L + 1])
@pytest.mark.parametrize("name", COUPLED)
def test_two_sequences_of_any_length_have_states_everywhere(name, keys):
    """As many keys as queries or not: padding of keys is as if they were not there."""
    ours, x, y = layer(name, cross_attention=True), draw(B, L, E), draw(B, keys, E)
    padding = torch.zeros(B, keys, dtype=torch.bool)
    padding[1, -2:] = True
    got = ours(x, y, y, key_padding_mask=padding)[0]
    for out, row, stored, hidden in zip(got, x, y, padding, strict=True):
        there = stored[~hidden]
        torch.testing.assert_close(out, ours(row, there, there)[0])
    if keys == L:  # also where they hold the same numbers
        want = ours(x, x.clone(), x, key_padding_mask=padding)[0]
        torch.testing.assert_close(ours(x, x, x, key_padding_mask=padding)[0], want)


def test_a_layer_says_once_that_it_is_between_two_sequences(tmp_path):
    model = replace_attention(encoder_layer(), "graph_hopfield", cross_attention=True)
    assert model.self_attn.cross_attention
    assert not replace_attention(model, "graph_hopfield").self_attn.cross_attention
    ours = layer("graph_hopfield", cross_attention=True)
    assert copy.deepcopy(ours).cross_attention
    again = attenergy.load(ours.save_pretrained(tmp_path / "saved"))
    assert again.cross_attention
    plain = layer("graph_hopfield")
    assert "cross_attention" not in plain.description().settings
    with pytest.raises(ValueError, match="cross_attention must be True or False, got 'yes'"):
        make_multihead(cross_attention="yes")


@pytest.mark.parametrize("length", [L - 1, L, L + 1])
@pytest.mark.parametrize("name", COUPLED)
def test_decoders_have_two_sequences_whatever_their_lengths(name, length):
    """The second attention of a decoder layer reads a memory that may be as long as the target."""
    model = nn.TransformerDecoder(
        nn.TransformerDecoderLayer(E, H, 2 * E, dropout=0.0, batch_first=True), 2
    )
    model = replace_attention(model.double(), name)
    assert [block.multihead_attn.cross_attention for block in model.layers] == [True, True]
    assert not any(block.self_attn.cross_attention for block in model.layers)
    target, memory = draw(B, length, E), draw(B, L, E)
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[1, -2:] = True
    got = model(target, memory, memory_key_padding_mask=padding)
    for out, row, stored, hidden in zip(got, target, memory, padding, strict=True):
        want = model(row[None], stored[~hidden][None])[0]
        torch.testing.assert_close(out, want)
    chosen = replace_attention(model, name, cross_attention=False)
    assert not any(block.multihead_attn.cross_attention for block in chosen.layers)
