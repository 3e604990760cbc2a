from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import UnknownName
from attenergy.registry.files import write_atomically
from attenergy.search.cli.app import app
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.report.text import as_json, as_markdown, budgets, middle_cells
from attenergy.search.results.study_folder import (
    NoRuns,
    Study,
    UnknownStudy,
    find_study,
    read_study,
    study_names,
    write_leaderboard,
)


def test_a_study_is_found_by_name_and_by_path(finished_study: Path, monkeypatch) -> None:
    assert find_study("tiny", finished_study.parent) == finished_study
    monkeypatch.chdir(finished_study.parent)
    assert find_study(str(finished_study)).resolve() == finished_study.resolve()
    assert find_study("tiny").resolve() == finished_study.resolve()


def test_an_unknown_study_is_refused_with_the_nearest(finished_study: Path) -> None:
    with pytest.raises(UnknownName, match=r"'tny' in .*/ \(did you mean 'tiny'\?\)\. Studies in"):
        find_study("tny", finished_study.parent)


def test_looking_for_a_study_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'x' in .*/runs/; none is in .*/runs/ yet"):
        find_study("x", tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def studies_of_age(folder: Path, **hours: float) -> None:
    """Studies that were last written to so many hours after the epoch."""
    for name, age in hours.items():
        place = folder / name
        place.mkdir(parents=True)
        plan = {"folder": str(place), "study": name, "task": f"{name}-task", "trials": 3}
        (place / "plan.json").write_text(json.dumps(plan))
        (place / "records.jsonl").touch()
        os.utime(place / "records.jsonl", (3600 * age, 3600 * age))


def test_studies_are_listed_newest_first_with_their_task_and_date(tmp_path: Path) -> None:
    studies_of_age(tmp_path, middle=2000, old=1000, newest=3000)
    (tmp_path / "old" / "plan.json").write_text("{")  # damaged: it is a study all the same
    (tmp_path / "empty").mkdir()
    assert study_names(tmp_path) == ["newest", "middle", "old"]
    lines = str(UnknownStudy("", tmp_path, "attenergy export STUDY --out DIR")).splitlines()
    assert lines[0] == f"name a study. Studies in {tmp_path}/, newest first:"
    assert re.fullmatch(r"  newest  1970-05-0\d \d\d:00  newest-task", lines[1])
    assert re.fullmatch(r"  middle  1970-03-2\d \d\d:00  middle-task", lines[2])
    assert re.fullmatch(r"  old     1970-02-1\d \d\d:00", lines[3])
    assert lines[4] == "type: attenergy export newest --out DIR"


def test_of_many_studies_the_newest_are_listed(tmp_path: Path) -> None:
    studies_of_age(tmp_path, **{f"s{number}": number for number in range(30)})
    text = str(UnknownStudy("s3x", tmp_path))
    assert text.splitlines()[-1] == "  and 10 older"
    assert "  s10  " in text
    assert "  s9  " not in text
    assert pickle.loads(pickle.dumps(UnknownStudy("s3x", tmp_path))).args[0] == "s3x"  # noqa: S301


def test_a_study_without_a_finished_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text('{"torn')
    with pytest.raises(NoRuns, match="no run has finished yet"):
        read_study(tmp_path)


def test_a_damaged_plan_is_said(finished_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "copy")
    (folder / "plan.json").write_text("{}")
    with pytest.raises(ValueError, match=r"plan\.json: cannot be read as a plan"):
        read_study(folder)
    (folder / "plan.json").unlink()
    assert read_study(folder).plan is None


def test_the_plan_and_the_task_come_back(finished_study: Path) -> None:
    study = read_study(finished_study)
    assert isinstance(study.plan, SearchPlan)
    assert study.baseline == "softmax"
    assert study.task.metric == "accuracy"
    assert study.task.options["pairs"] == 4


def test_budgets_count_trials_and_keep_the_best_score(finished_study: Path) -> None:
    study = read_study(finished_study)
    rows = {row["variant"]: row for row in budgets(study)}
    assert sum(row["trials"] for row in rows.values()) == 3
    trials = [r for r in study.records if r.purpose == "trial" and r.config.variant == "softmax"]
    best = max(r.metrics["valid"]["accuracy"] for r in trials)
    assert rows["softmax"]["best_valid"] == best


def test_markdown_has_every_part_and_no_path(finished_study: Path) -> None:
    text = as_markdown(read_study(finished_study))
    for part in ("# stacked-recall: accuracy", "## Budget of every variant", "## Plan"):
        assert part in text
    assert '"trials": 3' in text
    assert str(finished_study) not in text


def test_markdown_has_interquartile_means_of_rows_over_seeds(finished_study: Path) -> None:
    study = read_study(finished_study)
    board = study.leaderboard()
    cells = middle_cells(board)
    several = [row for row in board.rows if row.final and len(row.seeds) > 1]
    assert [row[1] for row in cells] == [row.variant for row in several]
    assert ("## Interquartile mean" in as_markdown(study)) == bool(several)
    for shown, row in zip(cells, several, strict=True):
        middle = row.middles["valid"]
        assert shown[2] == f"{middle.mean:.3f} [{middle.low:.3f}, {middle.high:.3f}]"


def test_json_has_every_record(finished_study: Path) -> None:
    study = read_study(finished_study)
    data = json.loads(as_json(study))
    assert [r["key"] for r in data["records"]] == [r.key for r in study.records]
    assert data["leaderboard"]["task"] == "stacked-recall"
    assert data["plan"]["trials"] == 3
    assert str(finished_study) not in json.dumps(data["plan"])


def test_the_leaderboard_is_written_beside_the_records(
    finished_study: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "copy")
    board = write_leaderboard(read_study(folder))
    assert (folder / "leaderboard.md").read_text() == board.markdown()
    assert json.loads((folder / "leaderboard.json").read_text()) == json.loads(board.json())
    assert board.rows[0].final


@pytest.mark.parametrize("form", ["html", "markdown", "json"])
def test_a_folder_in_the_place_of_a_page_is_named_as_it_was_given(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("pages", "."):
        Path("pages").mkdir(exist_ok=True)
        words = ["report", str(finished_study), "--out", place, "--format", form]
        result = CliRunner().invoke(app, words)
        assert (result.exit_code, result.stderr) == (2, f"{place}: is a folder, name a file\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["pages"]


def test_what_cannot_be_written_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x", tmp_path / ("a" * 300), tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path.parent))) as caught:
            write_atomically(path, "text")
        assert str(caught.value.filename) in {str(path), str(path.parent)}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_in_the_place_of_a_page_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("report.html", f".report.html.{os.getpid()}"):
        (folder / name).symlink_to(outside)
    write_atomically(folder / "report.html", "page")
    assert outside.read_text() == "mine"
    assert (folder / "report.html").read_text() == "page"
    assert [path.name for path in folder.iterdir()] == ["report.html"]


def test_what_to_type_next_names_the_folder_on_the_terminal_alone(
    make_record: Any, known_task: Any, tmp_path: Path
) -> None:
    records = [
        make_record(name, (mean + 0.01 * seed,), seed=seed, purpose="final")
        for name, mean in (("softmax", 0.5), ("mine", 0.55))
        for seed in range(3)
    ]
    plan = SearchPlan(study="s", folder="anywhere", task="known")
    study = Study(tmp_path / "s", plan, records, known_task)
    here = study.with_next_step(study.leaderboard(), study.folder).verdict.command
    assert f"--registry {tmp_path}/s/registry.yaml --folder {tmp_path} --resume" in here
    elsewhere = study.leaderboard().verdict.command
    assert "--registry runs/s/registry.yaml --resume" in elsewhere
    assert str(tmp_path) not in elsewhere
