"""What is asked before a run of somebody's records is trained again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import load_registry
from attenergy.search.artifacts.export import export_run
from attenergy.search.artifacts.replay import replay
from attenergy.search.artifacts.train_again import TooLarge, to_train_again
from attenergy.search.cli.app import app
from attenergy.search.report.text import as_markdown
from attenergy.search.results.study_folder import read_study, task_of
from attenergy.search.runs.config import RunConfig, RunRecord


@pytest.fixture
def folder(finished_study: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished_study, tmp_path / "sent" / "tiny")


@pytest.fixture
def record(folder: Path) -> RunRecord:
    return next(r for r in read_study(folder).records if r.status == "complete")


def changed(config: RunConfig, part: str, **changes: Any) -> RunConfig:
    if part == "config":
        return config.model_copy(update=changes)
    if part == "options":
        options = {**config.task_spec.options, **changes}
        changes, part = {"options": options}, "task_spec"
    inner = getattr(config, part).model_copy(update=changes)
    return config.model_copy(update={part: inner})


@pytest.mark.parametrize(
    ("part", "name"),
    [
        *(("model", name) for name in ("layers", "width", "head_dim", "mlp", "heads", "conv")),
        *(("training", name) for name in ("steps", "batch_size")),
        *(("training", name) for name in ("valid_instances", "test_instances")),
    ],
)
@pytest.mark.parametrize("size", [10**9, 10**18, 10**400])
def test_what_takes_long_or_much_memory_is_refused(
    record: RunRecord, folder: Path, part: str, name: str, size: int
) -> None:
    config = changed(record.config, part, **{name: size})
    forged = record.model_copy(update={"config": config, "weights": ""})
    with pytest.raises(TooLarge, match=r"takes about .* hours .* GiB .* takes --anyway"):
        replay(forged, folder, workers=0)
    with pytest.raises(TooLarge, match="takes --anyway"):
        export_run(forged, folder, folder.parent / "out")
    assert to_train_again(config, anyway=True) == config


def test_settings_and_seconds_count(record: RunRecord) -> None:
    for name in ("steps", "memories"):
        settings = {**record.config.settings, name: 10**12}
        with pytest.raises(TooLarge):
            to_train_again(changed(record.config, "config", settings=settings))
    for value in ("x", float("inf"), float("nan"), True):
        to_train_again(changed(record.config, "config", settings={"steps": value}))
    with pytest.raises(TooLarge, match="1e\\+03 hours"):
        to_train_again(changed(record.config, "config", seconds=3.6e6))


def test_runs_as_this_package_makes_them_are_repeated(record: RunRecord) -> None:
    assert to_train_again(record.config) == record.config
    registry = load_registry(plugins=False)
    for name in (
        "raven-small",
        "stacked-recall",
        "mqar",
        "parity-small",
        "retrieval",
        "sbm",
        "mil",
    ):
        spec = registry.task(name)
        to_train_again(
            record.config.model_copy(
                update={"task_spec": spec, "model": spec.model, "training": spec.training}
            )
        )


@pytest.fixture
def on_text(record: RunRecord, tmp_path: Path) -> RunRecord:
    spec = load_registry(plugins=False).task("text")
    options = {"path": str(tmp_path / "secret"), "length": 8}
    spec = spec.model_copy(update={"options": options})
    config = record.config.model_copy(update={"task_spec": spec, "task": "text"})
    return record.model_copy(update={"config": config, "weights": "", "metrics": {}})


def test_a_text_that_a_record_names_is_not_read(
    on_text: RunRecord, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(path: str, _: str) -> tuple[Path, ...]:
        looked.append(path)
        return (Path(__file__),)

    monkeypatch.setattr("attenergy.tasks.text.find_files", look)
    task_of(on_text.config)
    monkeypatch.undo()
    assert looked == [""]
    assert task_of(on_text.config).inputs.length == 8
    (folder / "records.jsonl").write_text(on_text.model_dump_json(by_alias=True) + "\n")
    assert "text" in as_markdown(read_study(folder))
    for words in (["replay", str(folder)], ["export", str(folder), "-o", str(tmp_path / "out")]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        assert "secret" not in result.stdout
    for repeat in (
        lambda: replay(on_text, folder, workers=0),
        lambda: export_run(on_text, folder, tmp_path / "out"),
    ):
        with pytest.raises(ValueError, match=r"on the text '.*secret'; .* --text PATH"):
            repeat()


def test_the_text_that_is_given_takes_its_place(on_text: RunRecord, record: RunRecord) -> None:
    again = to_train_again(on_text.config, text=Path("mine"))
    assert again.task_spec.options == {"path": "mine", "length": 8}
    with pytest.raises(ValueError, match="'--text' and '--data' are for tasks that read files"):
        to_train_again(record.config, text=Path("mine"))
    plain = changed(on_text.config, "options", path="")
    assert to_train_again(plain) == plain  # Python's own library
