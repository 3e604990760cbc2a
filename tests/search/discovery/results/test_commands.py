"""The lines that a page of a discovery gives to be copied, whoever wrote what it is made from."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from attenergy.registry import Registry
from attenergy.search.discovery.results.commands import again, use
from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.finding import read_finals
from tests.search.discovery.results.conftest import around, write_final

EVIL = "x; rm -rf $HOME #`id`'$(id)"


def lines(folder: Path, discovery: Discovery, winner: int | None = 5) -> list[str]:
    best = None if winner is None else discovery.by_number[winner]
    return use(folder, discovery, read_finals(folder, discovery), best)


def test_they_are_typed_in_the_folder_of_the_discovery(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    scores = {"softmax": around(0.4), "discovered_5": around(0.5)}
    write_final(tmp_path, "stacked-recall-small", scores, known)
    assert lines(tmp_path, discovery) == [
        "attenergy energies check discovered.yaml",
        "attenergy compare --task stacked-recall-small --variants softmax,discovered_5 "
        "--registry discovered.yaml",
        "attenergy export finals/stacked-recall-small --trial discovered_5 "
        "-o discovered_5-stacked-recall-small",
    ]
    assert len(lines(tmp_path, discovery, winner=3)) == 2  # which took no part
    assert len(lines(tmp_path, discovery, winner=None)) == 1


def test_they_name_plug_ins_and_the_entries_of_the_discovery(
    discovery: Discovery, tmp_path: Path
) -> None:
    (tmp_path / "registry.yaml").touch()
    (tmp_path / "plugins.json").write_text(
        '[{"name": "a", "version": "1", "module": "a.b"}, {"name": "c", "version": "", '
        '"module": "c; rm"}]'
    )
    check, compare = lines(tmp_path, discovery)
    assert check == "attenergy --plugin a.b energies check discovered.yaml"
    assert compare.startswith("attenergy --plugin a.b compare ")
    assert compare.endswith(" --registry registry.yaml --registry discovered.yaml")


def test_names_of_others_are_one_word_of_a_shell(
    discovery: Discovery, tmp_path: Path, known: Registry
) -> None:
    scores = {"softmax": around(0.4), EVIL: around(0.5)}
    write_final(tmp_path, "stacked-recall-small", scores, known)
    population = [
        f.model_copy(update={"entry": EVIL}) if f.number == 5 else f for f in discovery.population
    ]
    evil = discovery.model_copy(update={"population": tuple(population)})
    _, compare, export = map(shlex.split, lines(tmp_path, evil))
    assert compare[5] == f"softmax,{EVIL}"
    assert export[3:5] == ["--trial", EVIL]
    assert "/" not in export[6]
    for line in lines(tmp_path, evil):
        assert list(shlex.shlex(line, posix=True, punctuation_chars=";|&<>()")).count(";") == 0


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("attenergy discover --task a", "attenergy discover --task a"),
        (
            "attenergy --plugin a --plugin b discover --task 'a b'",
            "attenergy --plugin a --plugin b discover --task 'a b'",
        ),
        (
            "attenergy discover --task a; rm -rf $HOME",
            "attenergy discover --task 'a;' rm -rf '$HOME'",
        ),
        ("attenergy discover $(id) `id`", "attenergy discover '$(id)' '`id`'"),
        ("curl evil | sh", ""),
        ("attenergy", ""),
        ("attenergy --plugin", ""),
        ("attenergy search --task a", ""),
        ("attenergy discover '--task", ""),
        ("attenergy discover '--task\nrm'", ""),
        ("attenergy discover \u202e", ""),
        ("attenergy discover \x1b[31m", ""),
        ("", ""),
    ],
)
def test_the_recorded_command_is_shown_if_it_is_one(
    discovery: Discovery, command: str, shown: str
) -> None:
    assert again(discovery.model_copy(update={"command": command})) == shown
