"""Files that cannot be read at all, and problems of several files at once."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from attenergy.registry import RegistryError, load_registry


def test_an_alias_bomb_ends_in_one_clear_problem(tmp_path: Path) -> None:
    names = "abcdefghij"
    text = "version: 1\na: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for above, below in zip(names[1:], names, strict=False):
        text += f"{above}: &{above} [{', '.join(['*' + below] * 10)}]\n"
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(RegistryError, match="more than 8000 values, aliases included") as caught:
        load_registry(path, builtin=False, plugins=False)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version: 1\ndoc: \xff\n", ":2:6: not UTF-8 text (byte 0xff)"),
        ("version: 1\n".encode("utf-16"), ":1:1: not UTF-8 text"),
        (b"#" * 500_001, ":1:1: larger than 500000 bytes"),
        (b"version: 1\nx: [" + b"1," * 120_000 + b"]", ": more than 8000 values"),
    ],
)
def test_files_that_cannot_be_read(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    with pytest.raises(RegistryError) as caught:
        load_registry(path, builtin=False, plugins=False)
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)


def test_a_missing_file_and_a_folder_are_reported_together(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(RegistryError) as caught:
        load_registry(missing, tmp_path, plugins=False)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}:1:1: cannot be read: it is a directory",
        f"{missing}:1:1: cannot be read: no such file",
    ]


def test_a_mistyped_file_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("version: 1\n")
    with pytest.raises(RegistryError, match=r"no such file; did you mean 'mine\.yaml'\?"):
        load_registry(tmp_path / "mien.yml", plugins=False)


def test_problems_of_several_files_are_reported_together(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{letter}.yaml" for letter in "abc")
    first.write_text("version: 1\nenergies:\n  mine: {title: A, formula: f}\n")
    second.write_text("version: 1\nmixers:\n  mine: {title: A, class: B}\n  lse: {title: A}\n")
    third.write_text("version: 1\nenergies: {")
    with pytest.raises(RegistryError) as caught:
        load_registry(first, second, third, plugins=False)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"{second}:3:3: mixers.mine: the name 'mine' is taken by the energy")
    assert lines[0].endswith(f"at {first}:3:3")
    assert f"{second}:4:3: mixers.lse: missing key 'class'" in lines
    assert any("the name 'lse' is taken by the energy at" in line for line in lines)
    assert lines[3].startswith(f"{third}:2:12: not valid YAML")


def test_an_unreadable_file_does_not_hide_its_spaces_as_missing(tmp_path: Path) -> None:
    task, spaces = tmp_path / "task.yaml", tmp_path / "spaces.yaml"
    task.write_text(
        "version: 1\n"
        "tasks: {a: {title: A, class: A, model: {}, training: {steps: 1}, space: mine}}\n"
    )
    spaces.write_text("version: 1\nspaces: {mine: {}}]\n")
    with pytest.raises(RegistryError) as caught:
        load_registry(task, spaces, plugins=False)
    assert [problem.place.file for problem in caught.value.problems] == [str(spaces)]


def test_errors_survive_pickling() -> None:
    with pytest.raises(RegistryError) as caught:
        load_registry("no/such/file.yaml", plugins=False)
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert str(copy) == str(caught.value)
    assert copy.problems == caught.value.problems
