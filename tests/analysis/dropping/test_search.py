"""What a model can do without: planted redundant layers are named, and none where there is none."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import attenergy
from attenergy.analysis import drop_layers, redundancy
from attenergy.analysis.catalogue import ANALYSES
from attenergy.analysis.subject import Subject
from attenergy.attention import Transformer
from attenergy.attention.mixers import make_mixer
from attenergy.attention.models.block import Block
from attenergy.tasks import make_task
from attenergy.testing.cases import float64

IDLE = ("blocks.1.mixer", "blocks.2.mixer", "blocks.2.feed_forward")


def transformer(blocks: int = 4, *, idle: tuple[str, ...] = IDLE) -> Transformer:
    """A model in which some sub-layers add exactly 0."""
    torch.manual_seed(0)
    with float64():
        model = Transformer(
            outputs=3, layers=["softmax", "lse"] * (blocks // 2), width=16, heads=2, mlp=24,
            positions="relative", kind="vector", size=4, length=6,
        ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name in idle:
            layer = model.get_submodule(name)
            last = layer[-1] if isinstance(layer, nn.Sequential) else layer.projections.out
            for parameter in last.parameters():
                parameter.zero_()
    return model


def batch() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(5, 6, 4).double()


@pytest.mark.parametrize("order", ["one-shot", "step-by-step"])
def test_planted_idle_layers_are_named_first_and_go_without_loss(order: str, tmp_path) -> None:
    model, x = transformer(), batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    done: list[tuple[int, int]] = []
    result = redundancy(
        model, [x], order=order, random_orders=3, progress=lambda _, n, of: done.append((n, of))
    )
    assert {step.name for step in result.steps[:3]} == set(IDLE)
    assert [step.score for step in result.steps[:3]] == [0, 0, 0]
    assert result.free == 3
    assert set(result.dropped) == set(IDLE)
    assert result.sentence.startswith("3 of 8 attention layers and MLPs can go without loss")
    # The control: as many at random are worse, in every order that draws another one.
    (random,) = [drops for drops in result.control if drops.count == 3]
    assert random.mean > 0.1
    assert all(value >= result.steps[2].value for value in random.values)
    assert result.control[-1].values == (result.worth.bare,) * 3
    assert done == [(i + 1, len(done)) for i in range(len(done))]
    # The model is as it was, and the smaller one computes the same with less.
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert result.smaller is not None
    assert_close(result.smaller(x), model(x))
    assert len(result.smaller.blocks) == 3
    assert result.smaller_size.parameters < result.size.parameters
    assert result.smaller_size.flops < result.size.flops
    result.save_smaller(tmp_path / "smaller")
    again = attenergy.load(tmp_path / "smaller", part="model").eval()
    assert_close(again(x), model(x))


def test_a_layer_that_does_everything_comes_last() -> None:
    model, x = transformer(), batch()
    for parameter in model.blocks[3].mixer.projections.out.parameters():
        parameter.data.mul_(50)
    result = redundancy(model, [x], random_orders=0)
    assert result.steps[-1].name == "blocks.3.mixer"
    assert result.steps[-1].score > 0.5
    assert result.control == ()


def test_nothing_can_go_where_every_layer_matters_as_much() -> None:
    """Every block adds a third of the answer, at a right angle to the others."""

    class Third(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.mix = nn.Linear(8, 8, bias=False)
            with torch.no_grad():
                self.mix.weight.zero_()
                self.mix.weight[2 * number, 0] = self.mix.weight[2 * number + 1, 1] = 1.0

        def forward(self, x: Tensor) -> Tensor:
            return x + self.mix(x)

    model = nn.Sequential(*(Third(number) for number in range(1, 4))).double()
    x = torch.zeros(4, 3, 8).double()
    x[..., :2] = torch.randn(4, 3, 2).double()

    def share(some: nn.Module) -> float:
        return float((some(x)[..., 2:] == x[..., :2].repeat(1, 1, 3)).double().mean())

    result = redundancy(model, [x], evaluate=share)
    assert [step.value for step in result.steps] == pytest.approx([2 / 3, 1 / 3, 0])
    assert result.free == 0
    assert result.smaller is None
    assert result.sentence.startswith("Nothing can go without loss: without ")
    with pytest.raises(ValueError, match="nothing can go without loss"):
        result.save_smaller("nowhere")


def test_a_model_that_is_worth_nothing_says_nothing() -> None:
    result = redundancy(transformer(), [batch()], evaluate=lambda model: {"accuracy": 0.25})
    assert not result.learned
    assert "no better than its bare embedding" in result.sentence
    assert result.smaller is None


def test_attention_mlps_and_blocks_alone() -> None:
    model, x = transformer(), batch()
    names = {
        drop: [step.name for step in redundancy(model, [x], drop=drop, random_orders=0).steps]
        for drop in ("attention", "mlp", "blocks")
    }
    assert set(names["attention"][:2]) == {"blocks.1.mixer", "blocks.2.mixer"}
    assert names["mlp"][0] == "blocks.2.feed_forward"
    assert names["blocks"][0] == "blocks.2"
    assert [len(names[drop]) for drop in names] == [4, 4, 4]
    result = redundancy(model, [x], drop="blocks", remove=2, most=3, random_orders=2)
    assert len(result.steps) == 3
    assert result.dropped == tuple(names["blocks"][:2])
    assert len(result.smaller.blocks) == 2
    assert_close(result.smaller(x), drop_layers(model, names["blocks"][:2])(x))


def test_step_by_step_scores_what_is_left() -> None:
    """Three layers that turn x to a constant: two are idle as long as the first is there."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.target = nn.Linear(4, 4)
            nn.init.zeros_(self.target.weight)
            with torch.no_grad():
                self.target.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 2.0]))

        def forward(self, x: Tensor) -> Tensor:
            return x + 20 * self.target(x)

    torch.manual_seed(0)
    model, x = (
        nn.Sequential(*(Constant() for _ in range(3))).double(),
        torch.randn(2, 3, 4).double(),
    )
    one, two = (
        redundancy(model, [x], order=order, random_orders=0).steps
        for order in ("one-shot", "step-by-step")
    )
    assert [step.name for step in one] == ["2.target", "1.target", "0.target"]
    assert [step.name for step in two] == ["2.target", "1.target", "0.target"]
    # What is first dropped, dropping the first in one shot would have said of the second: little.
    structure_scores = redundancy(model, [x], order="step-by-step", random_orders=0).scores
    assert structure_scores["1.target"] < 0.01 < structure_scores["0.target"]
    model[0].target.bias.data.neg_()  # now 0 and 1 undo each other, and 1 turns most
    scores = redundancy(model, [x], random_orders=0).scores
    assert scores["1.target"] > 0.5
    left = redundancy(model, [x], order="step-by-step", random_orders=0).steps
    assert left[0].score < left[1].score


def test_options_of_the_command_line(tmp_path) -> None:
    task = make_task("stacked-recall-small")
    torch.manual_seed(0)
    size = task.inputs
    model = Transformer(
        outputs=task.outputs.size, layers="softmax/softmax", width=16, heads=2, mlp=16,
        positions="relative", kind=size.kind, size=size.size, length=size.length,
        channels=size.channels, causal=False,
    ).eval()  # fmt: skip
    some = task.batch("valid", 0, 8)
    batches = [((some.inputs,), {"mask": some.mask})]
    subject = Subject(model, "small", batches, task=task, instances=16)
    kind = ANALYSES["redundancy"]
    options = kind.settings({"remove": 1, "save_smaller": str(tmp_path / "out"), "metric": "loss"})
    result = kind.run(subject, options, None)
    assert result.worth.metric == "loss"
    assert result.worth.full == pytest.approx(subject.evaluate()["loss"])
    smaller = attenergy.load(tmp_path / "out", part="model").eval()
    assert subject.evaluate(smaller)["loss"] == pytest.approx(result.steps[0].value, rel=1e-5)
    with pytest.raises(ValueError, match="already holds an export"):
        kind.run(subject, options, None)


def test_the_result_is_saved(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    result = redundancy(transformer(), [batch()], random_orders=2)
    names = [path.name for path in result.save(tmp_path)]
    assert names == [
        "redundancy.json", "redundancy.md", "redundancy-scores.png", "redundancy-scores.svg",
        "redundancy-dropping.png", "redundancy-dropping.svg",
    ]  # fmt: skip
    numbers = json.loads((tmp_path / "redundancy.json").read_text())["numbers"]
    assert numbers["free"] == 3
    assert set(numbers["dropped"]) == set(IDLE)
    assert "bare embedding" in str(result)
    for picture in result.pictures():
        assert picture.svg().count("<title>") >= 8


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"drop": "heads"}, "drop"),
        ({"order": "backwards"}, "order"),
        ({"most": 9}, "at most 8"),
        ({"remove": 0}, "from 1"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"metric": "accuracy"}, "metric"),
    ],
)
def test_what_does_not_fit_is_said(arguments, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        redundancy(transformer(), [batch()], random_orders=0, **arguments)


def test_a_model_without_sub_layers_says_so() -> None:
    with pytest.raises(ValueError, match="no residual sub-layer"):
        redundancy(nn.Sequential(nn.Linear(4, 4)), [torch.randn(2, 4)])
    with pytest.raises(ValueError, match="one batch"):
        redundancy(transformer(), [])
    with pytest.raises(ValueError, match="a batch is a tensor"):
        redundancy(transformer(), [3])
    alone = make_mixer("softmax", embed_dim=8, num_heads=2)
    with pytest.raises(ValueError, match="no residual sub-layer"):
        redundancy(alone, [torch.randn(2, 4, 8)])


def test_blocks_of_ours_inside_another_model_get_smaller() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = Block(8, make_mixer("softmax", embed_dim=8, num_heads=2), 16)
            self.out = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.first(x))

    torch.manual_seed(0)
    model, x = Own().eval(), torch.randn(2, 5, 8)
    smaller = drop_layers(model, ["first.mixer"], x)
    assert smaller.first.mixer is None
    assert smaller.first.norm1 is None
    assert_close(smaller(x), model.out(model.first.after(x)))
    assert model.first.mixer is not None
