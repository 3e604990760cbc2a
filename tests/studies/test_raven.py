"""What the study compares, and how records of several machines come together and are drawn."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attenergy.registry import load_registry
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore

FOLDER = Path(__file__).resolve().parents[2] / "studies"
REGISTRY = load_registry(plugins=False)


@pytest.fixture(scope="module")
def raven() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        import raven
    finally:
        sys.path.remove(str(FOLDER))
    return raven


@pytest.fixture(scope="module")
def figures(raven: Any) -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        import figures
    finally:
        sys.path.remove(str(FOLDER))
    return figures


def record_of(config: RunConfig) -> RunRecord:
    """The record of a run that nobody made."""
    draw = random.Random(config.run_key())
    scores = {s: {"accuracy": draw.random(), "loss": 1.0} for s in ("valid", "test", "ood")}
    point = {"step": 2000, "loss": 1.0, "accuracy": 0.1, "ood_accuracy": draw.random()}
    costs = {"parameters": 1000.0, "forward_flops": 1e6, "seconds": 2.0}
    about = provenance.failed(config, "compare", "")
    facts = {"status": "complete", "metrics": scores, "curve": [point], "cost": costs}
    return about.model_copy(update=facts)


def test_every_run_is_another_one(raven: Any) -> None:
    parts = raven.parts(REGISTRY)
    configs = [c for name, part in parts.items() for c in part.configs(name, REGISTRY)]
    assert len({c.run_key() for c in configs}) == len(configs)
    zoo = parts["zoo"].configs("zoo", REGISTRY)
    assert {c.variant for c in zoo} == {*REGISTRY.energies, *REGISTRY.mixers}
    assert zoo[0].variant == "softmax"  # with which the others are compared
    assert [c.seed for c in zoo] == sorted(c.seed for c in zoo)
    assert all(c.training.steps == 1600 and c.training.optimizer == "muon" for c in zoo)
    paper = parts["paper-adamw-1M"].configs("x", REGISTRY)
    assert all(c.training.steps * c.training.batch_size == 1_024_000 for c in paper)
    assert {c.settings.get("steps") for c in paper if c.variant == "lse"} == {2}


def test_records_come_together_once(
    raven: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(raven, "RECORDS", tmp_path / "records")
    runs = raven.parts(REGISTRY)["zoo"].configs("zoo", REGISTRY)[:3]
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    lines = [record_of(config).model_dump_json(by_alias=True) for config in runs]
    first.write_text(lines[0] + "\n" + lines[1] + "\n" + lines[2][:100])
    second.write_text(lines[1] + "\n" + lines[2] + "\n")
    assert raven.merge([first, second], REGISTRY) == 3
    assert raven.merge([first, second], REGISTRY) == 0
    store = RunStore(tmp_path / "records" / "zoo")
    assert [record.key for record in store.all()] == [config.run_key() for config in runs]
    assert "first.jsonl:3: no record" in capsys.readouterr().out
    paused = runs[2].model_copy(update={"pause": 800})
    second.write_text(record_of(paused).model_dump_json(by_alias=True) + "\n")
    assert raven.merge([second], REGISTRY) == 1
    assert len(store.all()) == 3  # what was broken off is no run
    (record,) = RunStore(tmp_path / "records" / "zoo" / raven.PAUSED).all()
    assert record.config.whole() == runs[2]
    with pytest.raises(SystemExit, match=r"nothing\.jsonl: No such file"):
        raven.merge([tmp_path / "nothing.jsonl"], REGISTRY)
    other = runs[0].model_copy(update={"seed": 99})
    second.write_text(record_of(other).model_dump_json(by_alias=True) + "\n")
    assert raven.merge([second], REGISTRY) == 0
    assert "belongs to no part" in capsys.readouterr().out


def test_some_variants_are_run_alone(
    raven: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(raven, "RECORDS", tmp_path)
    runs: list[RunConfig] = []
    monkeypatch.setattr(raven, "run_all", lambda todo, *_: runs.extend(todo))
    zoo = raven.parts(REGISTRY)["zoo"]
    raven.run("zoo", zoo, REGISTRY, 1.0, 1, ("hyla", "lse"))
    assert [(r.variant, r.seed) for r in runs[:4]] == [
        (variant, seed) for seed in (1, 2) for variant in ("lse", "hyla")
    ]
    assert len(runs) == 2 * zoo.seeds
    with pytest.raises(SystemExit, match="no variant 'hylas' in zoo"):
        raven.run("zoo", zoo, REGISTRY, 1.0, 1, ("hylas",))


def test_a_finished_run_says_what_it_is(raven: Any) -> None:
    for part, words in (("grid", "lse lse.steps=1 lse.beta=0.125"), ("zoo", "softmax seed 1")):
        runs = raven.parts(REGISTRY)[part]
        labels, config = runs.labels(part, REGISTRY), runs.configs(part, REGISTRY)[0]
        line = raven.line_of(record_of(config), labels[config.run_key()])
        assert line.startswith(words)
        assert "seed 1: valid 0." in line


def test_a_long_run_says_every_minute_how_far_it_is(
    raven: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0, 10, 59, 60, 119, 130])
    monkeypatch.setattr(raven, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    report = raven._Report(end=1000, labels={})
    monkeypatch.setattr(report, "_look", lambda: None)
    for step in range(6):
        report.progress("abc", step, 9, 0.5)
    assert capsys.readouterr().out == "".join(
        f"  abc: step {step} of 9, loss 0.500\n" for step in (3, 5)
    )


@pytest.mark.long
def test_the_races_are_named_with_their_verdicts(figures: Any, tmp_path: Path) -> None:
    (row,) = [
        r for r in figures.zoo.races(FOLDER / "races") if r.startswith("| [linear-attention]")
    ]
    assert "`linear_attention` beats `softmax` by 0.057" in row
    assert figures.zoo.races(tmp_path) == []


def test_what_is_recorded_is_run_again(
    raven: Any, figures: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(raven, "RECORDS", tmp_path)
    zoo = raven.parts(REGISTRY)["zoo"]
    configs = zoo.configs("zoo", REGISTRY)[:2]
    store = RunStore(tmp_path / "zoo")
    for config in configs:
        store.append(record_of(config))
    runs: list[RunConfig] = []
    monkeypatch.setattr(raven, "run_all", lambda todo, *_: runs.extend(todo))
    raven.run("zoo", zoo, REGISTRY, 1.0, 1, again=True)
    assert [config.run_key() for config in runs] == [config.run_key() for config in configs]
    again = RunStore(tmp_path / "zoo" / raven.AGAIN)
    again.append(record_of(configs[0]))
    raven.run("zoo", zoo, REGISTRY, 1.0, 1, again=True)
    assert [config.run_key() for config in runs[2:]] == [configs[1].run_key()]
    text = figures.zoo.repeated(store.all(), again.all())
    (row,) = [line for line in text if line.startswith("| `softmax` | 1 |")]
    accuracy = record_of(configs[0]).metrics["ood"]["accuracy"]
    assert f"{accuracy:.3f}, {accuracy:.3f}" in row
    assert figures.zoo.repeated(store.all(), []) == []


@pytest.mark.long
def test_everything_is_drawn_from_records(
    raven: Any, figures: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(figures.output, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(figures.output, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(figures, "SCORES", tmp_path / "study.json")
    monkeypatch.setattr(figures, "SHOWN", tmp_path / "shown.json")
    parts = raven.parts(REGISTRY)
    for name in ("zoo", "grid", "scaling", "paper-muon-1M", "paper-adamw-2M"):
        store = RunStore(tmp_path / "records" / name)
        for config in parts[name].configs(name, REGISTRY)[:: 9 if name == "zoo" else 1]:
            store.append(record_of(config))
    figures.main(tmp_path / "records")
    text = (tmp_path / "results" / "zoo.md").read_text()
    assert "Made again" not in text
    results = tmp_path / "results"
    pages = {"zoo.md", "grid.md", "scaling.md", "rules.md", "paper.md", "claims.md"}
    assert {path.name for path in results.iterdir()} == pages
    drawn = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {f"study-{name}.png" for name in ("zoo", "grid", "scaling", "paper")}
    rows = json.loads((tmp_path / "study.json").read_text())
    assert {(row["seeds"], row["split"]) for row in rows if row["task"] == "raven"} == {(3, "ood")}
    shown = json.loads((tmp_path / "shown.json").read_text())
    assert shown["task"] == "raven-small"
    assert shown["entries"].keys() == {r["variant"] for r in rows if r["task"] == "raven-small"}
    text = (results / "paper.md").read_text()
    assert "1,024,000 instances" in text
    assert "| undecided |" in text  # three seeds call nothing
    assert "| `hyla` | 3 |" in text
