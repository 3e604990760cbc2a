from __future__ import annotations

import math
from pathlib import Path

import pytest

from attenergy.registry import ArgumentError
from attenergy.search.discovery.results.discovery import (
    Discovery,
    read_discovery,
    save_discovery,
)
from attenergy.search.results.study_folder import NoRuns, find_study, read_study


def test_what_is_written_is_read(discovery: Discovery, tmp_path: Path) -> None:
    save_discovery(discovery, tmp_path)
    again = read_discovery(tmp_path)
    assert again == discovery
    assert again.by_number[6].scores["denoising"] == -math.inf


def test_names_go_by_arm_and_number(discovery: Discovery) -> None:
    assert [f.name for f in discovery.population[:4]] == [
        "lse",
        "quadratic",
        "random_2",
        "discovered_3",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"name": "a"}', "tasks: Field required"),
        ('{"name": "a", "tasks": [], "extra": 1}', "extra: Extra inputs"),
        ('{"name": "' + "a" * 300 + '", "tasks": []}', "at most 200 bytes"),
        ('{"name": "x; rm -rf $HOME #", "tasks": []}', "name: "),
        ('{"name": "..", "tasks": []}', "name: "),
        ('{"name": "a", "tasks": ["b", "../up"]}', "tasks.1: "),
        ('{"name": "a", "tasks": [], "held_out": ["-x"]}', "held_out.0: "),
        ('{"name": "a", "tasks": [], "seconds": 1e300}', "seconds: "),
        ('{"name": "a", "tasks": [], "seconds": Infinity}', "seconds: "),
        ('{"name": "a", "tasks": [], "passed": {"count": 1' + "0" * 99 + "}}", "passed.count: "),
    ],
)
def test_a_damaged_file_says_where(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "discovered.json").write_text(text)
    with pytest.raises(ArgumentError, match=r"discovered\.json: cannot be read") as error:
        read_discovery(tmp_path)
    assert said in str(error.value)


def test_a_link_out_of_the_folder_is_not_followed(discovery: Discovery, tmp_path: Path) -> None:
    save_discovery(discovery, tmp_path / "there")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "discovered.json").symlink_to(tmp_path / "there" / "discovered.json")
    with pytest.raises(OSError, match="leads out of"):
        read_discovery(tmp_path / "here")


def test_parents_are_older_so_there_is_no_circle(discovery: Discovery) -> None:
    young = discovery.population[5].model_copy(update={"parents": (5, 6, 3, 3, 99)})
    assert [f.number for f in discovery.parents(young)] == [3]


def test_a_discovery_is_no_study_of_one_task(discovery: Discovery, tmp_path: Path) -> None:
    save_discovery(discovery, tmp_path / "made-up")
    assert find_study("made-up", tmp_path) == tmp_path / "made-up"
    with pytest.raises(NoRuns, match="made-up/finals/TASK"):
        read_study(tmp_path / "made-up")


def test_a_copy_with_other_formulas_looks_them_up_anew(discovery: Discovery) -> None:
    assert 6 in discovery.by_number
    fewer = discovery.model_copy(update={"population": discovery.population[:2]})
    assert list(fewer.by_number) == [0, 1]
    assert list(fewer.by_name) == ["lse", "quadratic"]
