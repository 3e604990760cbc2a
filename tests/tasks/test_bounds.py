"""The least value of every option that is a whole number, with the other options left alone."""

from __future__ import annotations

import inspect

import pytest

from attenergy.registry import load_registry
from attenergy.tasks import CLASSES, make_task, needs_data

#: As the docstrings say; a bound that another option sets is that of its default.
LEAST = {
    "AssociativeRecall": {"vocabulary": 3, "pairs": 1, "long": 0},
    "BlockModel": {"nodes": 2, "blocks": 2, "shown": 1},
    "BracketedArithmetic": {"shortest": 1, "longest": 3, "long": 41},
    "CompositionalRecall": {"vocabulary": 6, "length": 6, "pairs": 1},
    "Compression": {"vocabulary": 3, "length": 2, "train_instances": 0},
    "Copying": {"vocabulary": 4, "length": 18, "tokens": 1, "train_instances": 0},
    "Denoising": {"dim": 1, "patterns": 2},
    "Dyck": {"types": 1, "depth": 2, "shortest": 1, "longest": 2, "long": 41},
    "FewShotDigits": {"ways": 2, "shots": 1, "queries": 1, "held_out": 2},
    "FewShotGaussians": {"dim": 1, "ways": 2, "shots": 1, "queries": 1},
    "FewShotStrokes": {
        **{"grid": 4, "strokes": 1, "ways": 2, "shots": 1, "queries": 1, "train_classes": 1}
    },
    "ForgettingRecall": {"vocabulary": 6, "length": 6, "pairs": 1, "updates": 1},
    "FormalLanguage": {"shortest": 1, "longest": 3, "long": 41},
    "FuzzyLogic": {"variables": 1, "terms": 2, "examples": 2},
    "FuzzyRecall": {
        "vocabulary": 3,
        "length": 18,
        "key_size": 1,
        "value_size": 1,
        "train_instances": 0,
    },
    "Graphs": {},
    "GroundState": {"nodes": 2},
    "GroupWords": {"shortest": 1, "longest": 4, "long": 17},
    "Images": {"patch": 1, "size": 0, "channels": 0},
    "InContextRecall": {"vocabulary": 2, "length": 4, "noise_vocabulary": 0, "train_instances": 0},
    "InContextRegression": {"dim": 1, "pairs": 1, "queries": 1},
    "InductionHeads": {"vocabulary": 3, "length": 4, "triggers": 1, "long": 0},
    "Latch": {"length": 2, "symbols": 3},
    "ListOps": {"depth": 2, "arguments": 2, "longer_than": 1, "longest": 501, "train_instances": 0},
    "MQAR": {"vocabulary": 4, "length": 4, "pairs": 1, "passes": 1, "train_instances": 0},
    "Memorisation": {"vocabulary": 5, "length": 2, "train_instances": 0},
    "MixedMQAR": {"vocabulary": 4, "train_instances": 0},
    "MultipleInstance": {"bits": 2, "instances": 1, "signals": 1, "train_instances": 0},
    "NextStep": {},
    "Nodes": {},
    "NoisyRetrieval": {"dim": 1, "patterns": 1},
    "Oscillators": {"channels": 1, "length": 5},
    "Raven": {"features": 1, "values": 2, "grid": 2, "rules": 1},
    "Sequences": {},
    "StackedRecall": {"vocabulary": 4, "pairs": 1},
    "StringTransduction": {"symbols": 2, "shortest": 1, "longest": 1, "long": 41},
    "Table": {},
    "Text": {"length": 1, "max_bytes": 1},
    "Waves": {"channels": 4, "length": 2},
}
CASES = [(name, option) for name, options in LEAST.items() for option in options]


def test_every_whole_number_is_in_the_table() -> None:
    for name, build in CLASSES.items():
        parameters = inspect.signature(build).parameters.values()
        whole = {p.name for p in parameters if type(p.default) is int}
        assert whole - {"seed", "split_seed"} == LEAST[name].keys(), name


@pytest.mark.parametrize(("name", "option"), CASES)
def test_the_least_value_is_allowed_and_less_is_not(name: str, option: str) -> None:
    least = LEAST[name][option]
    refused = f"'{option}' must be a whole number >= {least}"
    for value in (least - 1, -1, least + 0.5, True):
        with pytest.raises(ValueError, match=refused):
            CLASSES[name](**{option: value})
    said = ""
    try:
        CLASSES[name](**{option: least})
    except ValueError as error:  # another option does not fit
        said = str(error)
    assert refused not in said


REGISTRY = load_registry(plugins=False)
FREE = {
    "seed",
    "split_seed",
    "train_instances",
    "max_bytes",
}  # numbers that cost nothing, whatever they are


@pytest.mark.parametrize("name", [n for n, s in REGISTRY.tasks.items() if not needs_data(s)])
def test_an_option_of_any_size_is_refused_by_its_name_or_costs_little(name: str) -> None:
    parameters = inspect.signature(CLASSES[REGISTRY.task(name).class_]).parameters.values()
    for option in (p.name for p in parameters if type(p.default) is int):
        for value in (-1, 0, *(10**power for power in (3, 6, 7, 18, 400))):
            said = ""
            try:
                task = make_task(name, registry=REGISTRY, **{option: value})
                assert option in FREE or value < 10**7, option
                assert task.numbers <= 1 << 20
            except ValueError as error:
                said = str(error)
            assert not said or option in said or value < 10**7, said
            assert len(said) < 400


@pytest.mark.parametrize("sizes", ["64x4*999999999", "64x4 " * 2000, "99999999999x4"])
def test_a_mixture_of_any_size_is_refused(sizes: str) -> None:
    for option in ("train_sizes", "test_sizes"):
        with pytest.raises(ValueError, match=f"'{option}"):
            make_task("mqar-memory", registry=REGISTRY, **{option: sizes})


def test_a_ceiling_that_takes_minutes_is_left_out() -> None:
    for name, options in (
        ("raven", {"features": 9}),
        ("fuzzy-logic", {"examples": 20_000}),
        ("fuzzy-logic", {"variables": 8}),
        ("sbm", {"nodes": 500, "shown": 249}),
        ("waves", {"length": 5_000}),
        ("retrieval", {"dim": 5_000}),
    ):
        assert make_task(name, registry=REGISTRY, **options).ceiling("test") is None


def test_trees_that_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="'depth' is 64 and 'arguments' 10: a tree would have"):
        make_task("listops", registry=REGISTRY, depth=64)
