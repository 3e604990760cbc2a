"""Codes that tell a rule, codes that do not, and what is said of each."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.functional import pad

from attenergy.analysis import latent_code
from attenergy.registry import ArgumentError, UnknownName


def analysed(planted, labels=None, **settings):
    given = {"held_out": planted.held_out, "combinations": planted.combinations, "tsne": False}
    labels = {"rule": planted.rules} if labels is None else labels
    return latent_code(planted.model, planted.inputs, labels, **{**given, **settings})


def test_a_rule_in_the_code_is_told_on_combinations_never_seen(plant) -> None:
    result = analysed(plant("rules"))
    (decoding,) = result.decodings
    (layer,) = decoding.layers
    assert decoding.on_held_out
    assert (decoding.combinations, decoding.instances) == (4, (480, 240, 240))
    assert layer.judged.value > 0.97
    assert layer.judged.f1 > 0.97
    assert decoding.majority.value == pytest.approx(1 / 4)
    assert layer.scrambled.value < max(decoding.null)  # the control finds nothing
    assert decoding.p_value(layer.judged.value) == pytest.approx(1 / 21)
    assert result.decodable()
    assert result.sentence.startswith("The code of 0 tells the rule: balanced accuracy ")
    assert "4 held-out combinations" in result.sentence


def test_a_code_of_whole_combinations_tells_no_rule(plant) -> None:
    result = analysed(plant("combinations"))
    (layer,) = result.decodings[0].layers
    assert layer.fresh.value > 0.9  # the seen ones are learned by heart
    assert abs(layer.judged.value - 1 / 4) < 3 * layer.judged.error
    assert not result.decodable()
    assert result.sentence.startswith("No layer's code tells the rule")


@pytest.mark.parametrize("known", [True, False])
def test_noise_tells_nothing(plant, known: bool) -> None:
    planted = plant("nothing")
    result = analysed(planted, combinations=planted.combinations if known else None)
    (layer,) = result.decodings[0].layers
    for score in (layer.fresh, layer.judged, layer.scrambled):
        assert 0 < score.error < 0.1
        assert abs(score.value - 1 / 4) < 3.5 * score.error
    assert not result.decodable()


@pytest.mark.long
def test_seeds_of_noise_are_seldom_called_decodable(plant) -> None:
    calls = [
        analysed(plant("nothing", count=160, seed=seed), seed=seed).decodable()
        for seed in range(20)
    ]
    assert sum(calls) <= 4  # of 20 at a level of .05; more has a probability of .003


def test_numbers_are_told_by_ridge_regression(plant) -> None:
    planted = plant("rules")
    mixed = planted.codes[:, :1] - 2 * planted.codes[:, 1:2]
    labels = {
        "mixed": mixed[:, 0],
        "two": torch.cat([mixed, mixed.square()], -1)[:, None],
        "noise": torch.randn(len(mixed), generator=torch.Generator().manual_seed(0)),
    }
    of_the_code, two, noise = analysed(planted, labels).decodings
    assert of_the_code.metric == "R2"
    assert of_the_code.best.judged.value > 0.999
    assert abs(of_the_code.majority.value) < 0.1
    assert 0.4 < two.best.judged.value < 0.95
    assert of_the_code.p_value(of_the_code.best.judged.value) == pytest.approx(1 / 21)
    assert noise.p_value(noise.best.judged.value) > 0.05


def test_held_out_classes_that_were_never_seen_are_named(plant) -> None:
    planted = plant("rules")
    held_out = planted.held_out | (planted.rules == 3)
    names = {"rule": ["add", "copy", "double", "swap"]}
    result = analysed(planted, held_out=held_out, classes=names)
    (decoding,) = result.decodings
    assert decoding.unseen == ("swap",)
    assert decoding.classes == ("add", "copy", "double")
    assert decoding.not_judged == int((planted.rules == 3).sum())
    assert decoding.best.judged.value > 0.97
    assert any("no seen combination has: swap" in note for note in result.notes())
    alone = analysed(planted, held_out=planted.rules == 3)
    assert not alone.decodings[0].on_held_out
    assert "fresh instances" in alone.sentence
    assert any("No other class is held out" in note for note in alone.notes())


def test_labels_of_every_position_count_at_the_state(plant) -> None:
    planted = plant("rules")
    of_positions = torch.stack([torch.full_like(planted.rules, -1), planted.rules], 1)
    of_positions[::2] = -1
    result = analysed(planted, {"rule": of_positions})
    assert sum(result.decodings[0].instances) == int((of_positions[:, 1] >= 0).sum())
    result = analysed(planted, {"rule": of_positions}, pairs=[(0, 1)])
    assert not result.decodings
    assert "rule is not decoded: seen instances have 0 of its classes" in str(result)


def test_texts_are_classes_and_nothing_has_to_be_held_out(plant) -> None:
    planted = plant("rules")
    texts = [("add", "copy", "double", "swap")[i] for i in planted.rules]
    result = latent_code(planted.model, planted.inputs, texts, tsne=False)
    assert result.decodings[0].classes == ("add", "copy", "double", "swap")
    assert "no combination is held out" in result.sentence
    assert result.decodable("label")
    with pytest.raises(UnknownName, match="label"):
        result.decodable("labels")


@pytest.mark.long
def test_the_same_seed_gives_the_same_numbers(plant) -> None:
    planted = plant("rules")
    one, again, other = (analysed(planted, seed=s).numbers() for s in (0, 0, 1))
    assert json.dumps(one) == json.dumps(again)
    assert one != other


def test_means_of_classes_and_their_cosines(plant) -> None:
    planted = plant("rules")
    (means,) = analysed(planted).means
    want = torch.stack([planted.codes[planted.rules == c].mean(0) for c in range(4)])
    torch.testing.assert_close(means.means, want)
    cosine = torch.nn.functional.cosine_similarity(want[0], want[2], dim=0)
    torch.testing.assert_close(means.cosines[0, 2], cosine)
    torch.testing.assert_close(means.cosines.diagonal(), torch.ones(4, dtype=torch.float64))
    centred = want - want.mean(0)
    cosine = torch.nn.functional.cosine_similarity(centred[0], centred[2], dim=0)
    torch.testing.assert_close(means.centred[0, 2], cosine)


def test_the_map_has_the_greatest_variance(plant) -> None:
    planted = plant("rules")
    (made,) = analysed(planted).maps
    shown = planted.codes[made.points]
    values = torch.linalg.eigvalsh(shown.T.cov()).flip(0)
    torch.testing.assert_close(made.pca.var(0), values[:2])
    torch.testing.assert_close(torch.tensor(made.explained).double(), (values / values.sum())[:2])
    assert planted.held_out[made.points].all()
    assert made.tsne is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": torch.zeros(3, dtype=torch.bool)}, "held_out must be 960 times"),
        ({"held_out": torch.arange(960) < 100}, "is held out in some instances and seen"),
        ({"combinations": torch.zeros(960)}, "combinations must be 960 whole numbers"),
        ({"held_out": torch.ones(960, dtype=torch.bool)}, "decoders need seen instances"),
        ({"permutations": 0}, "permutations must be a whole number from 1"),
        ({"labels": {"rule": torch.zeros(5)}}, "label 'rule' must be of 960 instances"),
        ({"labels": {"rule": torch.zeros(960, 2, 2).long()}}, "one class of each instance"),
        ({"classes": {"rule": ["a", "b"]}}, "has the class 3, and only 2 have a name"),
    ],
)
def test_mistakes_are_named(plant, settings, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        analysed(plant("nothing"), **settings)


@pytest.mark.long
def test_what_is_saved(plant, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    planted = plant("rules", count=160)
    size = planted.codes.norm(dim=-1)
    steps = []
    labels = {"rule": planted.rules, "size": size}
    result = analysed(planted, labels, tsne=None, progress=lambda *step: steps.append(step))
    assert result.maps[0].tsne.shape == (40, 2)
    assert steps[-1] == ("maps", 1, 1)
    names = {path.name for path in result.save(tmp_path)}
    pictures = ("decoding-rule", "decoding-size", "map-rule", "map-size", "cosines-rule")
    drawn = {f"latent-code-{name}.{form}" for name in pictures for form in ("png", "svg")}
    assert names == {"latent-code.json", "latent-code.md", *drawn}
    saved = json.loads((tmp_path / "latent-code.json").read_text())["numbers"]
    assert [each["label"] for each in saved["labels"]] == ["rule", "size"]
    assert len(saved["labels"][0]["layers"][0]["permuted"]) == 20
    assert len(saved["maps"][0]["pca"]) == len(saved["maps"][0]["classes"]["rule"]) == 40


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_few_clean_clusters_are_told(plant, classes: int, known: bool) -> None:
    """Decoders of permuted labels find such a cluster's class by chance, on labels of their own."""
    planted = plant("nothing")
    label = planted.combinations % classes
    codes = (
        5.0 * torch.eye(planted.codes.shape[1], dtype=torch.float64)[label] + 0.01 * planted.codes
    )
    given = {"held_out": planted.held_out, "combinations": planted.combinations} if known else {}
    last = pad(codes, (1, 0), value=1.0)
    x = torch.stack([torch.zeros_like(last), last], 1)
    result = latent_code(planted.model, x, label, tsne=False, **given)
    assert result.decodings[0].best.judged.value == 1
    assert result.decodable(), result.decodings[0].null
