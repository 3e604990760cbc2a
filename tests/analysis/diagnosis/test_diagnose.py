"""Every rule on a planted case, and healthy layers that call for none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from attenergy.analysis import ANALYSES, Subject, curl, diagnose
from attenergy.analysis.diagnosis.facts import MEASURES, HeadFacts
from attenergy.analysis.diagnosis.rules import RULES, advise
from attenergy.attention import EnergyAttention, Transformer, make_layer
from attenergy.energies import Energy
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)


def attention(energy="lse", **settings):
    torch.manual_seed(0)
    return EnergyAttention(16, 2, energy=energy, registry=REGISTRY, **settings).double()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def rules(model, *inputs, **arguments):
    result = diagnose(model, *inputs, **arguments)
    return {line.rule for line in result.advice}, result


def network(name, **settings):
    torch.manual_seed(0)
    return Transformer(
        outputs=3, layers=2, width=16, heads=2, mlp=16, positions="none", kind="vector", size=5,
        length=8,
        make_layer=lambda: make_layer(
            name, embed_dim=16, num_heads=2, registry=REGISTRY, **settings
        ),
    ).double()  # fmt: skip


@pytest.mark.parametrize("name", ["lse", "softmax", "l2_lse", "hyla", "linear"])
def test_healthy_layers_call_for_no_advice(name):
    hit, result = rules(network(name), draw(4, 8, 5))
    assert not hit
    assert "All 4 heads of 2 layers look healthy" in result.sentence
    assert all(layer.curl > 0.1 for layer in result.layers)  # values are projected
    has_energy = name in ("lse", "softmax", "l2_lse")
    for head in result.heads:
        assert (head.curl < 1e-12) if has_energy else head.curl != head.curl
        assert not has_energy or (head.descent == 1 and 0 < head.factor < 2)


@pytest.mark.parametrize("steps", [1, 3])
def test_weights_that_are_uniform(steps):
    layer = attention(beta=1e-3, steps=steps)
    hit, result = rules(layer, draw(3, 9, 16))
    assert hit == {"uniform"}
    text = result.advice[0].text
    assert "beta = 0.001, weights uniform (entropy 1.0000 log S)" in text
    assert "raise beta" in text
    assert "2 of 2 heads call for advice" in result.sentence
    assert all(head.signal < 1e-2 for head in result.heads)


def test_patterns_that_are_one_and_the_same():
    x = draw(1, 1, 16).expand(2, 9, 16) + 1e-3 * draw(2, 9, 16)
    hit, result = rules(attention(), x)
    assert hit == {"uniform", "patterns alike"}
    assert all(head.overlap > 0.99 for head in result.heads)


def test_weights_that_are_saturated():
    hit, result = rules(attention(beta=1e5), draw(3, 9, 16))
    assert hit == {"saturated"}
    assert "lower beta" in result.advice[0].text
    assert all(head.one_hot > 0.95 and head.signal < 1e-3 for head in result.heads)


def test_a_query_that_has_no_say_after_many_steps():
    hit, result = rules(attention(steps=40), draw(3, 9, 16))
    assert hit == {"vanishing signal"}
    assert "over 40 steps" in result.advice[0].text
    few = rules(attention(steps=1), draw(3, 9, 16))[1]
    assert all(head.signal > 0.05 for head in few.heads)


def test_a_single_pattern_leaves_nothing_to_choose():
    hit, result = rules(attention(steps=2), draw(3, 1, 16))
    assert not hit
    assert all(head.entropy != head.entropy for head in result.heads)


def test_steps_that_are_too_long():
    hit, result = rules(attention(steps=3, step_size=2.6), draw(3, 9, 16))
    assert {"long steps", "rising energy"} <= hit
    assert "gamma = 2.6 is above 2" in " ".join(line.text for line in result.advice)
    assert all(head.descent < 0.9 for head in result.heads)


def test_spins_that_move_at_once():
    hit, result = rules(attention("classical_hopfield"), draw(3, 9, 16))
    assert "rising energy" in hit
    assert "one site after the other" in result.advice[0].text


def test_the_factor_of_a_step_is_that_of_its_matrix():
    """1/2 |xi|^2 - beta/2 |X xi|^2: a step with gamma 1 is xi -> beta X'X xi."""
    layer, x = attention("linear_attention", beta=0.4, steps=2), 3 * draw(2, 9, 16)
    hit, result = rules(layer, x)
    assert "expanding" in hit
    keys = layer.projections.heads(x, x)[1].detach()
    want = torch.linalg.matrix_norm(0.4 * keys.mT @ keys, 2).mean(0)  # the median of two samples
    got = torch.tensor([head.factor for head in result.heads]).double()
    torch.testing.assert_close(got, want, rtol=0.05, atol=0)
    assert (got <= want).all()  # power iteration comes from below
    small = rules(attention("linear_attention", beta=1e-3, steps=2), draw(2, 9, 16))[1]
    assert all(head.factor < 0.2 for head in small.heads)


def test_a_saddle_of_the_fixed_point():
    """Half way between x and -x the step is beta |x|^2 along x."""
    layer = attention(solver="fixed_point", beta=1.0)
    with torch.no_grad():
        layer.projections.query.weight.zero_()
        for name, parameter in layer.projections.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    x = 2 * draw(1, 1, 16)
    hit, result = rules(layer, draw(1, 3, 16), torch.cat([x, -x], 1))
    keys = layer.projections.heads(x, x)[1].detach().squeeze()
    want = keys.square().sum(-1)
    got = torch.tensor([head.factor_high for head in result.heads]).double()
    torch.testing.assert_close(got, want, rtol=1e-3, atol=0)
    assert ("bifurcation" in hit) == bool((want >= 1).any())
    assert "bifurcation" in hit


class Rolled(Energy):
    """Log-sum-exp whose closed form is wrong: each pattern has the weight of its neighbour."""

    entry: ClassVar = {
        "title": "rolled",
        "parameters": {"beta": {"init": 1.0, "constraint": "positive"}},
    }
    has_weights = True

    def energy(self, xi, X, mask, field):
        scores = self.values()["beta"] * xi @ X.mT
        return 0.5 * (xi * xi).sum(-1) - scores.logsumexp(-1) / self.values()["beta"].squeeze(-1)

    def weights(self, xi, X, mask, field):
        return (self.values()["beta"] * xi @ X.mT).softmax(-1).roll(1, -1)


def test_an_update_that_is_no_gradient():
    hit, result = rules(attention(Rolled), draw(2, 9, 16))
    assert "no gradient" in hit
    assert all(head.curl > 0.1 for head in result.heads)


def test_the_curl_of_a_layer_is_that_of_its_jacobian():
    layer, x = attention("lse", backend="scores"), draw(1, 5, 16)
    want = curl(layer, x)
    got = diagnose(layer, x).layers[0].curl
    assert got == pytest.approx(want, rel=0.25)  # an estimate


def test_patterns_of_unequal_length():
    x = draw(2, 12, 16)
    x[:, 0] *= 60
    hit, _ = rules(attention(beta=0.01), draw(2, 5, 16), x)
    assert "unequal patterns" in hit
    assert "unequal patterns" not in rules(attention(beta=0.01), draw(2, 5, 16), draw(2, 12, 16))[0]


def test_beta_before_and_after_training():
    x = draw(2, 9, 16)
    layer, before = attention(beta=0.5), attention(beta=0.5)
    assert rules(layer, x, untrained=before)[0] == {"beta stuck"}
    result = diagnose(attention(beta=0.5), x, untrained=attention(beta=0.4))
    assert not result.advice
    assert result.heads[0].beta_change == pytest.approx(0.2231, abs=1e-3)
    hit, result = rules(attention(beta=0.5), x, untrained=attention(beta=0.01))
    assert hit == {"beta far away"}
    assert "multiplied beta by 50" in result.advice[0].text


def test_masks_and_padding():
    """Rows are measured by what they see: a causal mask leaves the first one out."""
    layer = attention(beta=1e-3)
    causal = torch.ones(9, 9).tril().bool()
    result = diagnose(layer, draw(3, 9, 16), mask=causal)
    assert {line.rule for line in result.advice} == {"uniform"}
    hidden = draw(2, 9, 16)
    hidden[:, 5:] *= 1e3
    mask = torch.zeros(2, 1, 1, 9).bool()
    mask[..., :5] = True
    padded = diagnose(attention(), hidden[:, :5], hidden, mask=mask).heads
    alone = diagnose(attention(), hidden[:, :5], hidden[:, :5]).heads
    for one, two in zip(padded, alone, strict=True):
        for key in ("entropy", "norm", "norm_spread", "rank", "overlap", "descent"):
            assert getattr(one, key) == pytest.approx(getattr(two, key))


@pytest.mark.by_kind
@pytest.mark.parametrize("name", list(REGISTRY.energies))
def test_every_energy_is_measured(name):
    layer = EnergyAttention(8, 2, energy=name, registry=REGISTRY).double()
    result = diagnose(layer, draw(2, 5, 8))
    assert len(result.heads) == 2
    assert all(0 <= head.descent <= 1 for head in result.heads)
    assert all(head.curl != head.curl or head.curl < 1e-6 for head in result.heads)


def test_plain_pytorch_is_read_and_left_as_it_was():
    torch.manual_seed(0)
    inner = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
    model, x = nn.TransformerEncoder(inner, 2).eval(), draw(2, 6, 16).float()
    before = model(x)
    done = []
    result = diagnose(model, x, progress=lambda *given: done.append(given))
    assert [layer.block for layer in result.layers] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert all(layer.curl > 0.1 for layer in result.layers)
    assert all(head.reading == "log-sum-exp" and head.curl < 1e-5 for head in result.heads)
    assert torch.equal(model(x), before)
    assert done[-1][1:] == (2, 2)
    again = diagnose(model, x)
    assert str(again) == str(result)


def test_a_hugging_face_model_with_a_cache():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=16, vocab_size=20, bos_token_id=None, eos_token_id=None,
        initializer_range=0.5,
    )  # fmt: skip
    model = transformers.LlamaModel(config).eval()
    result = diagnose(model, input_ids=torch.randint(0, 20, (3, 6)))
    assert len(result.heads) == 4
    assert all(layer.curl > 0.1 for layer in result.layers)
    assert all(head.descent == 1 and head.signal > 1e-2 for head in result.heads)


def test_every_rule_is_a_threshold():
    healthy = HeadFacts(
        "blocks.0", 0, energy="E", reading="own", solver="descent", moves=1, step_size=1.0,
        largest_step_size=2.0, beta=1.0, beta_at_start=0.5, beta_learned=True, entropy=0.6,
        uniform=0.0, one_hot=0.1, descent=1.0, curl=0.0, factor=0.5, factor_high=0.9, signal=0.5,
        norm=1.0, norm_spread=0.1, rank=4.0, overlap=0.1,
    )  # fmt: skip
    assert not advise([healthy])
    assert not advise([HeadFacts("blocks.0", 0)])  # nothing is known
    assert len({rule.name for rule in RULES}) == len(RULES)
    names = set(HeadFacts.__dataclass_fields__) | {"beta_change"}
    assert {measure.key for measure in MEASURES} <= names


@pytest.mark.long
def test_what_is_written_and_the_catalogue(tmp_path):
    subject = Subject(network("lse"), "net", [((draw(2, 8, 5),), {})])
    result = ANALYSES["laws"].run(subject, ANALYSES["laws"].settings({}), None)
    files = {path.name for path in result.save(tmp_path)}
    assert files == {"laws.json", "laws.md", "laws.png", "laws.svg"}
    data = json.loads((tmp_path / "laws.json").read_text())["numbers"]
    assert len(data["heads"]) == 4
    assert set(data["rules"]) == {rule.name for rule in RULES}


def test_the_page_names_every_rule():
    page = (Path(__file__).resolve().parents[3] / "docs/analysis/laws.md").read_text()
    assert all(f"| {rule.name} |" in page for rule in RULES)


def test_what_is_refused():
    with pytest.raises(TypeError, match="untrained must be a torch module"):
        diagnose(attention(), draw(1, 3, 16), untrained=3)
    with pytest.raises(ValueError, match="seed"):
        diagnose(attention(), draw(1, 3, 16), seed=-1)
    with pytest.raises(ValueError, match="no attention that can be read"):
        diagnose(nn.Linear(2, 2), torch.zeros(1, 2))
