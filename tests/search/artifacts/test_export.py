from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import attenergy
from attenergy.attention.loading import build
from attenergy.attention.saving.weights import SavedError
from attenergy.registry import EnergySpec, load_registry
from attenergy.search.artifacts.export import export_run
from attenergy.search.artifacts.model_card import model_card
from attenergy.search.artifacts.select_run import NoSuchRun, choose_run
from attenergy.search.results import formats
from attenergy.search.results.study_folder import Study, read_study, task_of
from attenergy.search.training.model import build_model, model_arguments


@pytest.fixture
def study(finished_study: Path) -> Study:
    return read_study(finished_study)


def test_training_and_loading_build_the_same_network(study: Study) -> None:
    for record in study.records:
        torch.manual_seed(5)
        trained = build_model(record.config, study.task).state_dict()
        torch.manual_seed(5)
        loaded = build(model_arguments(record.config, study.task)).state_dict()
        assert trained.keys() == loaded.keys()
        assert all(torch.equal(trained[name], loaded[name]) for name in trained)


def test_an_exported_model_reaches_the_recorded_score(study: Study, tmp_path: Path) -> None:
    record = choose_run(study.records, "best", study.leaderboard())
    out = export_run(record, study.folder, tmp_path / "out")
    model = attenergy.load(out, part="model").eval()
    task = task_of(record.config)
    batch = task.batch("test", 0, record.config.training.test_instances)
    with torch.inference_mode():
        values = task.metrics(model(batch.inputs), batch.targets)
    for name, recorded in record.metrics["test"].items():
        if name in values:
            assert values[name].double().mean().item() == pytest.approx(recorded, abs=1e-12)


def test_an_exported_layer_has_the_trained_weights(study: Study, tmp_path: Path) -> None:
    record = choose_run(study.records, "best", study.leaderboard())
    layer = attenergy.load(export_run(record, study.folder, tmp_path / "out"))
    trained = load_file(study.folder / record.weights)
    prefix = "blocks.0.mixer."
    expected = {n.removeprefix(prefix): v for n, v in trained.items() if n.startswith(prefix)}
    assert layer.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in layer.state_dict().items())


def test_lost_weights_are_trained_again_and_it_is_said(study: Study, tmp_path: Path) -> None:
    torch.set_num_threads(1)  # as when the study was run
    record = study.records[0]
    said: list[str] = []
    first = export_run(record, study.folder, tmp_path / "kept", say=said.append)
    assert said == []
    lost = record.model_copy(update={"weights": ""})
    again = export_run(lost, tmp_path, tmp_path / "again", say=said.append)
    assert "no weights on disk; training it again" in said[0]
    old, new = load_file(first / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_the_card_and_the_config_tell_where_the_model_comes_from(
    study: Study, tmp_path: Path
) -> None:
    record = next(r for r in study.records if r.config.variant == "softmax")
    out = export_run(record, study.folder, tmp_path / "out")
    about = json.loads((out / "config.json").read_text())["about"]
    assert about["task"] == "stacked-recall"
    assert about["run"] == record.key
    assert about["metrics"] == record.metrics
    assert about["versions"]["torch"] == torch.__version__
    card = (out / "README.md").read_text()
    assert 'attenergy.load("out")' in card
    assert "Softmax attention (Vaswani et al. 2017" in card
    assert f"`{record.key}`" in card


def test_a_run_is_named_by_rank_key_or_best(study: Study) -> None:
    board = study.leaderboard()
    best = choose_run(study.records, "best", board)
    assert best.key in board.rows[0].keys
    assert choose_run(study.records, "1", board) == best
    assert choose_run(study.records, best.key, board) == best
    assert choose_run(study.records, best.key[:10], board) == best


def test_best_is_the_seed_with_the_best_validation_score(make_record, known_task) -> None:
    from attenergy.search.results.leaderboard import leaderboard

    records = [
        make_record("lse", (0.6, 0.9), seed=1, purpose="final"),
        make_record("lse", (0.8, 0.1), seed=2, purpose="final"),
        make_record("lse", (0.99, 0.9), seed=0),
    ]
    chosen = choose_run(records, "best", leaderboard(records, known_task))  # type: ignore[arg-type]
    assert chosen.config.seed == 2


def test_runs_that_cannot_be_exported_are_refused(make_record, known_task) -> None:
    from attenergy.search.results.leaderboard import leaderboard

    records = [
        make_record("lse", (0.5,)),
        make_record("rbm", status="diverged", reason="training loss nan"),
    ]
    board = leaderboard(records, known_task)  # type: ignore[arg-type]
    with pytest.raises(NoSuchRun, match="no row '7'; the leaderboard has 1"):
        choose_run(records, "7", board)
    with pytest.raises(NoSuchRun, match="no run with key 'nonsense'"):
        choose_run(records, "nonsense", board)
    with pytest.raises(NoSuchRun, match="several runs with key ''"):
        choose_run(records, "", board)
    with pytest.raises(NoSuchRun, match="has no result: diverged, training loss nan"):
        choose_run(records, records[1].key, board)
    with pytest.raises(NoSuchRun, match="no row 'best'; the leaderboard has 0"):
        choose_run([], "best", leaderboard([], known_task))  # type: ignore[arg-type]


def test_a_target_that_must_not_be_replaced_is_refused_before_any_training(
    study: Study, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    lost = study.records[0].model_copy(update={"weights": ""})
    said: list[str] = []
    with pytest.raises(SavedError, match="holds other files"):
        export_run(lost, study.folder, tmp_path, force=True, say=said.append)
    assert said == []


def test_a_folder_moved_elsewhere_still_loads(study: Study, tmp_path: Path) -> None:
    out = export_run(study.records[0], study.folder, tmp_path / "a")
    shutil.move(out, tmp_path / "b")
    x = torch.randn(2, 4, study.records[0].config.model.width)
    assert attenergy.load(tmp_path / "b")(x).shape == x.shape


def test_the_card_has_formula_intervals_chance_ceiling_and_licence(
    study: Study, tmp_path: Path
) -> None:
    board = study.leaderboard()
    row = next(row for row in board.rows if row.final)
    record = next(r for r in study.records if r.key == row.keys[0])
    lse = record.model_copy(
        update={"config": record.config.model_copy(update={"layer": _layer("lse")})}
    )
    card = model_card(lse, study.task, "out", board)
    assert r"$$E(\xi; X) = \tfrac{1}{2}" in card
    assert "`0.5*|xi|^2 - lse(beta * X @ xi + h)/beta`" in card
    header, _, *rows = [line for line in card.splitlines() if line.startswith("|")]
    cells = [cell.strip() for cell in header.strip("|").split("|")]
    assert cells == ["split", "accuracy, this run", "mean over seeds", "chance", "ceiling"]
    assert formats.score(row.scores["valid"]) in rows[0]
    assert rows[0].rstrip("| ").endswith("1.000")
    assert "Mean and half of the 95 % interval over the seeds 1000, 1001" in card
    assert '"learning_rate"' in card
    assert "Apache-2.0" in card
    alone = model_card(record, study.task, "out")
    assert "One run of one seed" in alone
    assert "mean over seeds" not in alone


def test_a_card_of_retrained_weights_says_so(study: Study, tmp_path: Path) -> None:
    lost = study.records[0].model_copy(update={"weights": ""})
    out = export_run(lost, tmp_path, tmp_path / "again", say=lambda _: None)
    assert "these come from training it again" in (out / "README.md").read_text()


def test_a_variant_names_its_best_run(study: Study) -> None:
    board = study.leaderboard()
    best = next(row for row in board.rows if row.variant == "softmax")
    assert choose_run(study.records, "softmax", board).key in best.keys


def _layer(name: str) -> EnergySpec:
    return load_registry().energies[name]
