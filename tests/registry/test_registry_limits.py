"""A registry file costs no more than its size: aliases are counted, long lists of problems cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from attenergy.registry import RegistryError, load_registry


def test_an_alias_counts_as_often_as_it_is_read(tmp_path: Path) -> None:
    """Values, keys and lists behind aliases: the characters that they stand for are bounded."""
    text = "y" * 100_000
    bombs = {
        "value": f"version: 1\na: &x '{text}'\n" + "".join(f"b{i}: *x\n" for i in range(200)),
        "nested": f"version: 1\na: &x [['{text}']]\nb: [" + "*x, " * 200 + "]\n",
        "key": f"version: 1\na: &x {{? '{text}' : 1}}\nb: [" + "*x, " * 200 + "]\n",
        "block": f"version: 1\na: &x |\n  {text}\nb: [" + "*x, " * 200 + "]\n",
        "plain": f"version: 1\na: &x {text}\nb: [" + "*x, " * 200 + "]\n",
        "number": f"version: 1\na: &x 0.{'1' * 100_000}\nb: [" + "*x, " * 200 + "]\n",
    }
    path = tmp_path / "bomb.yaml"
    for name, bomb in bombs.items():
        path.write_text(bomb, encoding="utf-8")
        with pytest.raises(RegistryError) as caught:
            load_registry(path, builtin=False, plugins=False)
        (problem,) = caught.value.problems
        assert problem.message == "more than 1000000 characters, aliases included", name


def test_a_long_list_of_problems_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("version: 1\n" + "".join(f"unknown{i}: 1\n" for i in range(150)))
    with pytest.raises(RegistryError) as caught:
        load_registry(path, builtin=False, plugins=False)
    lines = str(caught.value).splitlines()
    assert len(caught.value.problems) == 150
    assert len(lines) == 101
    assert lines[-1] == "and 50 more problems"


@pytest.mark.parametrize("key", ["y" * 100_000, "." * 100_000, "é" * 100_000])
def test_a_long_key_is_cut_wherever_it_stands_in_a_path(tmp_path: Path, key: str) -> None:
    """Else it would be repeated whole with each of the problems below it."""
    path = tmp_path / "long.yaml"
    below = "".join(f"  a{i}: 1\n" for i in range(200))
    for text in (f'? "{key}"\n:\n ? "{key}"\n :\n{below}', f'energies:\n ? "{key}"\n :\n{below}'):
        path.write_text("version: 1\n" + text, encoding="utf-8")
        with pytest.raises(RegistryError) as caught:
            load_registry(path, builtin=False, plugins=False)
        assert len(str(caught.value)) < 60_000
