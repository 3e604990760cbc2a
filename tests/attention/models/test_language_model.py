"""Decoding piece by piece equals the whole at once, for every layer that can be causal."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from attenergy.attention import make_layer
from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.kv_cache import caching
from attenergy.attention.models.language_model import Decoder, LanguageModel
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
# Tokens that act on each other both ways; no order of time fits them.
NOT_CAUSAL = [
    "energy_transformer", "energy_transformer_block", "hyper_set", "graph_hopfield", "place_rbm",
    "vector_spins", "gaussian_spins", "spherical_spins", "n_vector", "potts",
]  # fmt: skip
CAUSAL = [name for name in REGISTRY.energies if name not in NOT_CAUSAL]
OF_THE_MODEL = ("positions", "conv", "mlp", "tied", "layers", "checkpoint", "vocabulary", "width")
# What a position gives depends on the number of positions, hidden ones included.
ON_A_STRUCTURE = ["graph_memory", "continuous_time", "boltzmann", "unrestricted_boltzmann"]
softmax = partial(HypernetworkAttention, normalize="softmax", value_network="linear")


def make(layer="lse", length=9, **options) -> LanguageModel:
    """A model whose every parameter has moved from where it began."""
    built = {}
    for key in [key for key in options if key not in OF_THE_MODEL]:
        built[key] = options.pop(key)

    def new(**extra):
        if layer in REGISTRY.mixers:
            built["length"] = length
        return make_layer(layer, embed_dim=8, num_heads=2, registry=REGISTRY, **built, **extra)

    sizes = {"vocabulary": 7, "width": 8, "heads": 2, "layers": 2, "mlp": 12} | options
    with float64():
        model = LanguageModel(length=length, make_layer=new, **sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def pieces(model, tokens, sizes):
    decoder = Decoder(model)
    return torch.cat([decoder.extend(part) for part in tokens.split(sizes, dim=1)], dim=1)


def check(model, sizes=(4, 1, 2, 1, 1)):
    tokens = torch.randint(7, (3, sum(sizes)))
    with torch.no_grad():
        whole, parts = model(tokens), pieces(model, tokens, list(sizes))
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in CAUSAL if name not in ON_A_STRUCTURE])
def test_an_energy_decodes_what_it_gives_for_all_positions(name):
    check(make(name))


@pytest.mark.parametrize("name", ON_A_STRUCTURE)
def test_patterns_on_a_structure_are_decoded_as_the_sequence_so_far(name):
    model, tokens = make(name), torch.randint(7, (2, 6))
    decoder = Decoder(model)
    for beginning, end in ((0, 3), (3, 4), (4, 6)):
        out = decoder.extend(tokens[:, beginning:end])
        assert torch.equal(out, model(tokens[:, :end])[:, beginning:])


@pytest.mark.parametrize("name", REGISTRY.mixers)
@pytest.mark.parametrize("positions", ["relative", "none"])
def test_a_mixer_decodes_what_it_gives_for_all_positions(name, positions):
    model = make(name, positions=positions)
    check(model)
    if model.positions_used != "relative":
        assert model.caching == ("streamed", "streamed")


@pytest.mark.parametrize("name", ["softmax", "linear", "hyla"])
def test_keys_and_values_are_kept_where_a_field_is_read(name):
    assert make(name).caching == ("projected", "projected")
    assert make(name, positions="absolute").caching == ("streamed", "streamed")


@pytest.mark.parametrize(
    "options",
    [
        {"positions": "rotary"},
        {"positions": "rotary", "layer": "et_memory"},
        {"positions": "rotary", "read": "state", "steps": 2},
        {"positions": "rotary", "read": "state", "layer": "polynomial", "num_kv_heads": 1},
        {"positions": "absolute"},
        {"positions": "none", "conv": 3},
        {"conv": 4, "mlp": 0, "tied": False},
        {"conv": 1},
        {"steps": 3, "positions": "rotary", "conv": 2},
        {"steps": 2, "solver": "coordinate_descent"},
        {"num_kv_heads": 1},
        {"steps": 3, "energy_per_step": True, "learn_step_size": "per_head_and_step"},
        {"normalize_states": "l2", "normalize_patterns": "layer_norm", "positions": "rotary"},
        {"checkpoint": True},
    ],
)
def test_options_decode_what_they_give_for_all_positions(options):
    check(make(**options))
    check(make(**options), (1,) * 6)


def test_relative_and_rotary_positions_go_beyond_the_length():
    for positions in ("relative", "rotary"):
        check(make(positions=positions, length=5))
    with pytest.raises(ValueError, match="6 positions is too long for 5"):
        make(positions="absolute", length=5).generate(torch.zeros(1, 3, dtype=torch.long), 4)


def test_kinds_of_caches():
    kinds = {name: make(name).caching[0] for name in CAUSAL}
    assert kinds["lse"] == kinds["uhop"] == kinds["classical_hopfield"] == "projected"
    for name in ("causal_tokens", *ON_A_STRUCTURE):
        assert kinds[name] == "none"
    assert caching(softmax(8, 2), has_field=True) == "projected"
    assert caching(softmax(8, 2)) == "streamed"
    assert caching(nn.Linear(2, 2)) == "none"


class Running(nn.Module):
    """A mean of what came so far: read again, or streamed with a step of its own."""

    def forward(self, x, *, mask=None, field=None, is_causal=False):
        return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]


class Stepping(Running):
    calls = 0

    def init_state(self, batch):
        return torch.zeros(batch, 8), 0

    def step(self, x, state):
        Stepping.calls += 1
        total, count = state[0] + x, state[1] + 1
        return total / count, (total, count)


@pytest.mark.parametrize("layer", [Running, Stepping])
def test_layers_without_an_energy(layer):
    with float64():
        model = LanguageModel(
            vocabulary=7, length=9, width=8, heads=2, layers=1, mlp=4, make_layer=layer
        )
    assert model.caching == ("streamed" if layer is Stepping else "none",)
    check(model)
    assert layer is Running or Stepping.calls == 9


def test_keys_of_earlier_positions_are_not_projected_again():
    model = make(layers=1)
    rows = []
    model.blocks[0].mixer.projections.key.register_forward_hook(
        lambda _, inputs, __: rows.append(inputs[0].shape[1])
    )
    model.generate(torch.zeros(2, 4, dtype=torch.long), 3)
    assert rows == [4, 1, 1]


def test_decoding_leaves_the_model_as_it_was():
    model, tokens = make(), torch.randint(7, (2, 5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(tokens)
    projections = model.blocks[0].mixer.projections
    model.generate(tokens, 2)
    assert model.blocks[0].mixer.projections is projections
    assert torch.equal(model(tokens), expected)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_no_later_token_acts_on_an_earlier_one():
    model, tokens = make(conv=3), torch.randint(7, (2, 6))
    logits = model(tokens)
    for i in range(6):
        changed = tokens.clone()
        changed[:, i:] = (changed[:, i:] + 1) % 7
        assert torch.equal(model(changed)[:, :i], logits[:, :i])
        assert not torch.equal(model(changed)[:, i], logits[:, i])


def test_temperature_zero_takes_the_likeliest_token():
    model, tokens = make(), torch.randint(7, (2, 3))
    out = model.generate(tokens, 4, temperature=0)
    for _ in range(4):
        tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(out, tokens)


def test_tokens_are_drawn_with_the_probabilities_of_the_last_position():
    model, beginning = make(), torch.tensor([[3, 1]])
    draws = 20_000
    generator = torch.Generator().manual_seed(1)
    tokens = model.generate(beginning.expand(draws, 2), 1, temperature=0.5, generator=generator)[
        :, -1
    ]
    shares = tokens.bincount(minlength=7) / draws
    wanted = (2 * model(beginning)[0, -1]).softmax(-1)
    deviation = (wanted * (1 - wanted) / draws).sqrt()
    assert ((shares - wanted).abs() < 5 * deviation).all()


def test_a_seed_decides_the_tokens_and_training_mode_comes_back():
    model, tokens = make().train(), torch.randint(7, (2, 3))
    draws = [
        model.generate(tokens, 5, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert model.training
    assert torch.equal(model.generate(tokens, 0), tokens)


def test_tied_models_have_one_table():
    tied, free = make(), make(tied=False)
    assert (
        sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters())
        == 7 * 8 + 7
    )
    x = torch.randn(2, 3, 8).double()
    table = tied.embedding.tables[0].weight
    torch.testing.assert_close(tied.read(x), tied.norm(x) @ table.T)
    tied(torch.randint(7, (2, 5))).square().sum().backward()
    assert table.grad.abs().sum() > 0


def test_a_few_steps_of_training_learn_to_repeat():
    """The token after next is the present one: the model must look back."""
    torch.manual_seed(1)
    model = LanguageModel(
        vocabulary=6, length=12, width=16, heads=2, layers=2, mlp=32, conv=2,
        make_layer=lambda: make_layer("lse", embed_dim=16, num_heads=2, registry=REGISTRY),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        tokens = torch.randint(6, (32, 2)).repeat(1, 6)
        logits = model(tokens[:, :-1])[:, 2:]
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 3:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    beginning = torch.tensor([[0, 5, 0, 5], [2, 1, 2, 1]])
    out = model.generate(beginning, 4, temperature=0)
    assert torch.equal(out[:, 4:], beginning)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3).long(), -1), "n must be a whole number from 0, got -1"),
        ((torch.zeros(3).long(), 1), r"tokens must be \(B, L\) with L from 1, got shape \(3,\)"),
        ((torch.zeros(2, 0).long(), 1), r"got shape \(2, 0\)"),
    ],
)
def test_bad_beginnings(arguments, message):
    with pytest.raises(ValueError, match=message):
        make().generate(*arguments)
    for temperature in (-1, float("inf"), float("nan"), "warm"):
        with pytest.raises(ValueError, match=f"temperature must be .*, got {temperature!r}"):
            make().generate(torch.zeros(2, 3).long(), 1, temperature=temperature)


@pytest.mark.parametrize("name", ["energy_transformer", "potts"])
def test_energies_whose_states_interact_are_refused(name):
    with pytest.raises(ValueError, match="it cannot be causal"):
        make(name)(torch.randint(7, (2, 4)))


@pytest.mark.parametrize(
    ("option", "value"),
    [("conv", 3), ("tied", False), ("positions", "absolute"), ("mlp", 20), ("layers", 1),
     ("width", 16), ("vocabulary", 9), ("length", 12)],
)  # fmt: skip
def test_every_option_reaches_the_model(option, value):
    def shapes(**options):
        model = LanguageModel(
            **{"vocabulary": 7, "length": 9, "width": 8, "heads": 2, "layers": 2, "mlp": 12}
            | {
                "make_layer": lambda: make_layer(
                    "lse", embed_dim=options.get("width", 8), num_heads=2
                )
            }
            | options
        )
        return {name: p.shape for name, p in model.named_parameters()}

    assert shapes() == shapes()
    assert shapes(**{option: value}) != shapes()
    assert make(checkpoint=True).checkpoint
    assert not make().checkpoint
