"""What is shown of paths, and what is refused before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import attenergy
from attenergy.analysis import ANALYSES, AttentionPaths, Subject, attention_paths
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.registry import ArgumentError, UnknownName
from tests.analysis.paths.planted import instances, planted


@pytest.fixture(scope="module")
def result() -> AttentionPaths:
    x, y = instances(64)
    return attention_paths(planted(), [x], [y], shuffles=20)


def test_all_that_is_shown_is_in_the_numbers(result: AttentionPaths, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = [path.name for path in result.save(tmp_path)]
    pictures = ["paths-alignment", "paths-overlap", "paths-pruning"]
    forms = [f"{name}.{form}" for name in pictures for form in ("png", "svg")]
    assert names == ["paths.json", "paths.md", *forms]
    numbers = json.loads((tmp_path / "paths.json").read_text())["numbers"]
    best = max(numbers["paths"], key=lambda row: row["patterns"]["value"])
    assert best == max(numbers["paths"], key=lambda row: row["written"]["value"])
    assert best["path"] == [0, 1]
    assert numbers["overlaps"]["paths"][0] == [0, 1]
    assert numbers["heads_aligned"][0]["layer"] == "layers.0"
    assert [curve["order"] for curve in numbers["curves"]] == ["alignment", "magnitude", "random"]
    text = (tmp_path / "paths.md").read_text()
    assert "| 0 > 1 | 1.000 | 0.000 |" in text
    assert "skip > 0" in text
    assert "| removed heads | alignment | magnitude | random |" in text.replace("---:", "")


def test_heads_are_shown_where_paths_are_too_many() -> None:
    pytest.importorskip("matplotlib")
    x, y = instances(64)
    few = attention_paths(planted(), [x], [y], shuffles=20, most_paths=2, prune=False)
    assert [picture.name for picture in few.pictures()] == ["paths-alignment"]
    assert "layer" in few.tables()[0].header
    assert few.sentence.endswith("align with the task better than shuffled targets do.")


def test_the_entry_scores_on_instances_of_its_own() -> None:
    torch.manual_seed(0)
    task = attenergy.make_task("few-shot-strokes-small")
    model = attenergy.Transformer(
        outputs=task.outputs.size, layers=1, width=8, heads=2, mlp=0, positions="none",
        make_layer=lambda: attenergy.make_mixer("softmax", embed_dim=8, num_heads=2),
        kind="vector", size=task.inputs.size, length=task.inputs.length,
    )  # fmt: skip
    batches = [((task.batch("valid", start, 20).inputs,), {}) for start in (0, 20)]
    subject = Subject(model, "a model", batches, task)
    said: list[str] = []
    kind = ANALYSES["paths"]
    options = kind.settings({"points": 32, "shuffles": 20, "draws": 1})
    seen = kind.run(subject, options, lambda what, *_: said.append(what))
    assert isinstance(seen, AttentionPaths)
    assert (kind.name, seen.points, seen.metric) == ("paths", 32, "accuracy")
    assert seen.apart
    assert {"attention patterns", "pruning, random"} <= set(said)
    assert kind.lacking(Subject(model, "a model", batches)) == "it needs the task of the model"


def test_a_finite_set_has_no_other_instances() -> None:
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    task = attenergy.make_task("digits")
    model = attenergy.Transformer(
        outputs=task.outputs.size, layers=1, width=8, heads=2, mlp=0, positions="none",
        make_layer=lambda: attenergy.EnergyAttention(8, 2), kind=task.inputs.kind,
        size=task.inputs.size, length=task.inputs.length,
    )  # fmt: skip
    rows = task.sizes["valid"]  # type: ignore[attr-defined]
    options = ANALYSES["paths"].settings({"points": 32, "shuffles": 20, "draws": 1})
    for size, apart in ((rows, False), (rows // 2, True)):
        subject = Subject(model, "a model", [((task.batch("valid", 0, size).inputs,), {})], task)
        seen = ANALYSES["paths"].run(subject, options, None)
        assert isinstance(seen, AttentionPaths)
        assert seen.apart is apart


def test_a_model_whose_outputs_fit_no_target_is_not_pruned() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = planted()

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"states": self.inner(x)}

    x, y = instances(64)
    result = attention_paths(Half(), [x], [y], shuffles=20)
    assert result.curves == ()
    assert "give `score`" in result.unpruned
    assert "Nothing was pruned: the model returns a dict" in "\n".join(result.notes())
    assert "Without" not in result.sentence


def test_what_is_refused() -> None:
    (x, y), model = instances(32), planted()
    with pytest.raises(ArgumentError, match="1 batches and 2 targets"):
        attention_paths(model, [x], [y, y])
    with pytest.raises(ArgumentError, match="at least 8 instances with a scored position, got 7"):
        attention_paths(model, [x[:7]], [y[:7]])
    with pytest.raises(ArgumentError, match="all sampled targets are the same"):
        attention_paths(model, [x], [torch.zeros(32, dtype=torch.long)])
    with pytest.raises(ArgumentError, match="of 31 instances, the batch has 32"):
        attention_paths(model, [x], [y[1:]])
    with pytest.raises(ArgumentError, match="have 4 positions, but the last layer computes 6"):
        attention_paths(model, [x], [y[:, :4]])
    with pytest.raises(ArgumentError, match="one of 6 positions, got 6"):
        attention_paths(model, [x], [y[:, -1]], position=6)
    with pytest.raises(UnknownName, match=r"no attention layer 'layer.0'.*layers.0"):
        attention_paths(model, [x], [y], layers=["layer.0"])
    both = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    z = torch.randn(32, 6, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ArgumentError, match="multihead_attn' reads another sequence than its own"):
        attention_paths(both, [(z, z + 1)], [y])
    one = attention_paths(
        both, [(z, z + 1)], [y], layers=["encoder.layers.0.self_attn"], prune=False, shuffles=20
    )
    assert one.layers == ("encoder.layers.0.self_attn",)
    with pytest.raises(ArgumentError, match="points must be a whole number from 8"):
        attention_paths(model, [x], [y], points=4)
    with pytest.raises(ArgumentError, match="a batch must be a tensor"):
        attention_paths(model, [3], [y])
    none = nn.Sequential(EnergyTransformerBlock(x.shape[-1], 2)).double()
    with pytest.raises(ArgumentError, match=r"'0' has no attention weights, .* are of no head"):
        attention_paths(none, [x], [y])
