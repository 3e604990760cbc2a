"""Tables of curves: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attenergy.registry import ArgumentError, UnknownName
from attenergy.search.bench.table import TABLES, CurveTable, load_table, table_names
from tests.search.bench.conftest import SHORT, STEPS, planted_table


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    table = planted_table(noise=0.05)
    path = tmp_path / "mine.json"
    path.write_text(table.model_dump_json(exclude_defaults=True))
    assert load_table(path) == table


def test_runs_of_a_length_come_by_their_seeds() -> None:
    config = planted_table().configs[0]
    assert [run.seed for run in config.runs_of(STEPS)] == [0, 1]
    assert {run.steps for run in config.runs_of(SHORT)} == {SHORT}
    assert config.runs_of(7) == ()


def test_seconds_are_those_of_steps_and_evaluations() -> None:
    config = planted_table().configs[0].model_copy(update={"seconds_per_run": 3.0})
    assert config.seconds(400, 4) == pytest.approx(400 * 0.05 + 4 * 0.25 + 3)
    assert config.seconds(100, 1, ended=False) == pytest.approx(100 * 0.05 + 0.25)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"variants": ["softmax"]}, "none of the table's variants"),
        ({"steps": 12}, "no run has the 12 steps"),
        ({"configs": []}, "configs"),
        ({"format": 2}, "format"),
        ({"code": "print(1)"}, "code"),
        ({"chance": "x"}, "chance"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, object], what: str
) -> None:
    path = tmp_path / "bad.json"
    data = json.loads(planted_table().model_dump_json())
    path.write_text(json.dumps({**data, **change}))
    with pytest.raises(ArgumentError, match=what) as caught:
        load_table(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"scores": [0.1]}, "as many scores"),
        ({"scores": [0.1, float("nan"), 0.2, 0.3]}, "finite"),
        ({"at": [100, 300, 200, 400]}, "rise"),
        ({"at": [100, 200, 300, 350]}, "last step"),
        ({"steps": 0}, "steps"),
    ],
)
def test_a_run_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, object], what: str
) -> None:
    path = tmp_path / "bad.json"
    data = json.loads(planted_table().model_dump_json())
    data["configs"][0]["runs"][0] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(ArgumentError, match=what):
        load_table(path)


def test_a_configuration_without_a_length_is_refused() -> None:
    table = planted_table()
    config = table.configs[0]
    fewer = config.model_copy(update={"runs": config.runs_of(STEPS)})
    data = table.model_copy(update={"configs": (*table.configs[1:], fewer)}).model_dump()
    with pytest.raises(ValueError, match="lacks runs of one of the lengths"):
        CurveTable.model_validate(data)


def test_an_unknown_table_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="raven-one"):
        load_table("raven-on")
    with pytest.raises(OSError, match="regular"):
        load_table(tmp_path)


@pytest.mark.parametrize("name", table_names())
def test_the_toolkits_own_tables_can_be_read_and_say_where_they_come_from(name: str) -> None:
    table = load_table(name)
    assert table.name == name
    assert {"command", "machine", "versions", "commit", "registry"} <= table.about.keys()
    assert (TABLES / f"{name}.json").stat().st_size < 1_500_000
    seeds = [len(config.runs_of(table.steps)) for config in table.configs]
    assert max(seeds) > 1
    assert {config.variant for config in table.configs} == set(table.variants)
