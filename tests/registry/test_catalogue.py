"""Tables of what can be chosen by name: what may be added, by whom, and what is refused."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

import attenergy
from attenergy.attention.mixers import CLASSES as MIXERS
from attenergy.attention.mixers import Mixer
from attenergy.energies import CLASSES as ENERGIES
from attenergy.energies import Energy
from attenergy.registry import (
    CATALOGUES,
    Catalogue,
    PluginNeed,
    PluginWarning,
    RegistryFile,
    UnknownName,
    carried,
    load_plugins,
    missing,
    needed,
)
from attenergy.tasks import CLASSES as TASKS
from attenergy.tasks import Task


class Shape:
    """What the table of these tests holds."""


class Round(Shape):
    """The toolkit's own."""


class Square(Shape):
    """The user's."""


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Catalogue[type[Shape]]:
    table: Catalogue[type[Shape]] = Catalogue("shape", Shape, {"Round": Round})
    monkeypatch.delitem(CATALOGUES, "shape")  # and it is gone when the test ends
    monkeypatch.setitem(CATALOGUES, "shape", table)
    return table


def test_a_thing_is_registered_in_five_ways(shapes: Catalogue[type[Shape]]) -> None:
    class Oval(Shape):
        pass

    assert shapes.register(Square) is Square
    assert shapes.register(Square, name="Box") is Square
    assert shapes.register("Tile")(Square) is Square
    assert shapes.register(Oval) is Oval
    assert shapes.register()(Oval) is Oval
    assert list(shapes) == ["Round", "Square", "Box", "Tile", "Oval"]
    assert shapes.lookup("Tile") is Square
    assert shapes.name_of(Square) == "Square"
    assert shapes.name_of(3) is None
    assert set(shapes.owners) == {"Square", "Box", "Tile", "Oval"}
    assert {owner.module for owner in shapes.owners.values()} == {__name__}


def test_instances_have_a_name_of_their_own(shapes: Catalogue[type[Shape]]) -> None:
    table: Catalogue[Shape] = Catalogue("form", Shape, {}, instances=True)
    del CATALOGUES["form"]
    square = Square()
    table.register(square, name="square")
    assert table.lookup("square") is square
    assert table.register("tile")(Square) is Square
    assert type(table.lookup("tile")) is Square
    with pytest.raises(
        TypeError, match=r"a form must be a subclass of .*Shape or an instance, got"
    ):
        table.register(Shape)
    with pytest.raises(ValueError, match=r"the name of a form must be a letter, .* got None"):
        table.register(square)


@pytest.mark.parametrize("thing", [Shape, int, Round(), 3, lambda: Square])
def test_another_kind_is_refused(thing: object, shapes: Catalogue[type[Shape]]) -> None:
    with pytest.raises(TypeError, match=r"a shape must be a subclass of .*\.Shape, got "):
        shapes.register(thing)
    assert list(shapes) == ["Round"]


@pytest.mark.parametrize("name", ["", "1st", "a b", "a.b", "a-b", "é", "x" * 65, 3])
def test_a_name_that_is_none_is_refused(name: str, shapes: Catalogue[type[Shape]]) -> None:
    with pytest.raises(ValueError, match="the name of a shape must be a letter, then at most 63"):
        shapes.register(Square, name=name)
    assert list(shapes) == ["Round"]


def test_a_name_is_taken_once(shapes: Catalogue[type[Shape]]) -> None:
    with pytest.raises(ValueError, match="'Round' is taken by the shape of attenergy itself"):
        shapes.register(Square, name="Round")
    shapes.register(Square)
    shapes.register(Square)
    with pytest.raises(ValueError, match=r"'Square' is taken by the shape of plug-in '.*cata"):
        shapes.register(Round, name="Square")
    assert shapes == {"Round": Round, "Square": Square}


def test_a_cell_that_is_run_twice_replaces_what_it_defined(
    shapes: Catalogue[type[Shape]],
) -> None:
    def cell() -> type[Shape]:
        @shapes.register
        class Star(Shape):
            pass

        return Star

    first, second = cell(), cell()
    assert first is not second
    assert shapes["Star"] is second


def test_an_unknown_name_names_the_nearest(shapes: Catalogue[type[Shape]]) -> None:
    with pytest.raises(UnknownName, match=r"no shape 'Ruond' .did you mean 'Round'.*known: Round"):
        shapes.lookup("Ruond")


def test_the_doors_open_the_tables() -> None:
    doors = {
        attenergy.register_energy: (ENERGIES, Energy),
        attenergy.register_mixer: (MIXERS, Mixer),
        attenergy.register_task: (TASKS, Task),
    }
    for door, (table, base) in doors.items():
        assert table.base is base
        assert CATALOGUES[table.kind] is table
        with pytest.raises(
            TypeError, match=f"an? {table.kind} must be a subclass of {base.__module__}"
        ):
            door(Square)


def test_a_class_that_lacks_a_method_is_refused(shapes: Catalogue[type[Shape]]) -> None:
    class Vague(Shape, ABC):
        @abstractmethod
        def area(self) -> float: ...

    with pytest.raises(TypeError, match=r"a shape must define area, which <class .* does not"):
        shapes.register(Vague)


def test_a_plugin_that_fails_leaves_nothing_behind(
    shapes: Catalogue[type[Shape]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "half_done.py").write_text(
        "from attenergy.registry import CATALOGUES\n"
        "table = CATALOGUES['shape']\n"
        "table.register(type('Half', (table.base,), {}))\n"
        "table.register(type('Other', (table.base,), {}), name='Round')\n"
    )
    with pytest.warns(PluginWarning, match=r"^plug-in 'half_done' is left out: .*'Round' is taken"):
        assert not load_plugins("half_done")
    assert shapes == {"Round": Round}
    assert not shapes.owners
    with (
        pytest.warns(PluginWarning, match="'half_done'"),
        pytest.raises(UnknownName, match=r"no shape 'Half' .*plug-in 'half_done' is left out: can"),
    ):
        shapes.lookup("Half")


def test_what_is_needed_of_a_plugin_is_named_when_it_is_missing(
    shapes: Catalogue[type[Shape]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "more_shapes.py").write_text(
        "from attenergy.registry import CATALOGUES\n"
        "__version__ = '2.5'\n"
        "table = CATALOGUES['shape']\n"
        "for name in ('Flat', 'Deep'):\n"
        "    table.register(type(name, (table.base,), {}))\n"
    )
    assert "more_shapes" not in carried()
    load_plugins("more_shapes")
    assert "more_shapes" in carried()
    assert needed([("shape", "Round"), ("form", "Round")]) == []
    needs = needed([("shape", "Round"), ("shape", "Flat"), ("shape", "Flat")])
    assert [need.model_dump() for need in needs] == [
        {"name": "more_shapes", "version": "2.5", "module": "more_shapes",
         "provides": {"shape": ("Flat",)}}
    ]  # fmt: skip
    assert missing(needs) == ""
    del shapes["Flat"]
    assert missing(needs) == (
        "the plug-in more_shapes 2.5 is needed (shape 'Flat') and not loaded here: install it, or "
        "name its module (attenergy --plugin more_shapes ..., plugins=['more_shapes'] in Python)"
    )
    odd = needs[0].model_copy(update={"module": "-c"})
    assert missing([odd]).endswith("(shape 'Flat') and not loaded here: install it")
    script = PluginNeed(
        name="__main__", version="", module="__main__", provides={"shape": ("Own",)}
    )
    assert missing([script]).startswith("shape 'Own': registered by the script that made it")


def test_unknown_names_survive_a_process_boundary() -> None:
    error = UnknownName("shape", "Ruond", ["Round"], "plug-in 'x' is left out: no")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301
    assert "shapes" not in RegistryFile.model_fields


def test_of_very_many_known_names_the_first_are_listed_and_the_nearest_is_named() -> None:
    error = UnknownName("setting", "name9", [f"name{number:03}" for number in range(300)])
    text = str(error)
    assert "did you mean 'name" in text
    assert text.endswith("name079, and 220 more")
    assert len(error.known) == 300
