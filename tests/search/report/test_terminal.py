"""The end of a search on a terminal of 80 columns, and of others."""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from attenergy.search.report.columns import Look, aligned, cell, cut
from attenergy.search.report.terminal import Screen, shell_lines
from attenergy.search.results.leaderboard import leaderboard


def shown(board: Any, width: int = 80, *, explain: bool = False, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    Console(width=width, file=stream, highlight=False).print(Screen(board, explain))
    stream.seek(0)
    return stream.read()


@pytest.fixture
def records(make_record: Any) -> list[Any]:
    finals = [
        make_record(
            name, (mean + 0.004 * seed, mean - 0.02, mean - 0.1), seed=seed, purpose="final"
        )
        for name, mean in (("lse", 0.6), ("softmax", 0.5), ("graph_hopfield", 0.3))
        for seed in range(8)
    ]
    trials = [make_record("rbm", (0.2 + n / 50, 0.2, 0.1), beta=1.0 + n) for n in range(9)]
    lost = make_record("rbm", status="diverged", reason="training loss nan at step 7", beta=99.0)
    return [*trials, *finals, lost]


def test_the_verdict_comes_first_then_finalists_then_trials(records, known_task) -> None:
    board = leaderboard(records, known_task)
    lines = shown(board).splitlines()
    assert lines[0].startswith(" LSE BEATS   On valid, lse beats softmax by 0.100")
    text = "\n".join(lines)
    places = [text.index(word) for word in ("BEATS", "finalists, 8 seeds each", "\ntrials  ")]
    assert places == sorted(places)
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if line.startswith("1 lse"))
    assert re.search(
        r"█+.* \.614±\.008 +\.580±\.000 +\.500±\.000 +8 +\+\.100 beats$", first.rstrip()
    )
    assert re.search(r"^3 graph_hopfield .* -\.200 loses", text, re.MULTILINE)
    assert re.search(r"^2 softmax .* baseline", text, re.MULTILINE)
    assert "the best 5 of 9, one seed each" in text
    assert "1 run diverged: training loss nan at step 7" in text


def test_how_to_read_it_is_told_on_request(records, known_task) -> None:
    board = leaderboard(records, known_task)
    assert "how to read this: --explain" in shown(board)
    assert "Order and choice use" not in shown(board)
    assert "Order and choice use `valid` only" in shown(board, explain=True)


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_no_line_is_wider_than_the_terminal(records, known_task, width: int) -> None:
    lines = shown(leaderboard(records, known_task), width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_bar_goes_from_chance_to_ceiling(make_record, known_task) -> None:
    # Chance .125, ceiling .93: the middle is .5275.
    records = [
        make_record(name, (score,), seed=seed, purpose="final")
        for name, score in (("lse", 0.93), ("rbm", 0.5275), ("softmax", 0.125))
        for seed in range(2)
    ]
    text = shown(leaderboard(records, known_task), encoding="ascii")
    assert re.search(r"lse +#{12} ", text)
    assert re.search(r"rbm +#{6}\.{6} ", text)
    assert re.search(r"softmax +\.{12} ", text)


def test_where_seeds_solve_or_not_they_are_counted_and_shown(make_record, known_task) -> None:
    scores = {"lse": (0.92, 0.92, 0.14), "softmax": (0.13, 0.92, 0.13)}
    records = [
        make_record(name, (score, score), seed=seed, purpose="final")
        for name, values in scores.items()
        for seed, score in enumerate(values)
    ]
    text = shown(leaderboard(records, known_task))
    assert " solved" in text
    assert re.search(r"1 lse .* \.660 +\.660 +- +2 of 3", text)
    assert "0.920 0.920 0.140; " in text
    assert "±" not in next(line for line in text.splitlines() if line.startswith("1 lse"))


def test_several_objectives_have_a_front(make_record, known_task) -> None:
    def trial(name: str, score: float, flops: float) -> Any:
        record = make_record(name, (score,), beta=flops)
        return record.model_copy(update={"cost": {**record.cost, "forward_flops": flops}})

    records = [trial("lse", 0.6, 3e6), trial("rbm", 0.5, 2e6), trial("softmax", 0.4, 2.5e6)]
    board = leaderboard(records, known_task, objectives=("accuracy", "flops"))
    assert [(p.variant, p.values["flops"]) for p in board.front] == [("lse", 3e6), ("rbm", 2e6)]
    text = shown(board)
    assert "front of accuracy, flops" in text
    assert re.search(r"1 lse +0\.600 +3\.0M +trial", text)
    assert "## Beaten by no other in all objectives" in board.markdown()
    assert leaderboard(records, known_task).front == ()


def test_a_long_command_is_one_for_the_shell() -> None:
    command = "attenergy search --study 'a b' --task raven-small --energies lse,rbm --resume"
    lines = shell_lines(command, 30)
    assert max(map(len, lines)) <= 30
    joined = "".join(line.removesuffix("\\") for line in lines)
    assert shlex.split(joined) == shlex.split(command)
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shell_lines("", 30) == []


def test_the_command_that_helps_is_not_cut(records, known_task) -> None:
    board = leaderboard(records, known_task)
    line = "attenergy search " + " ".join(f"--option-{n} value" for n in range(9))
    text = shown(replace(board, verdict=replace(board.verdict, command=line)))
    assert shlex.split(line) == shlex.split(
        text[text.index("attenergy search") : text.index("value\n\n") + 5].replace(" \\\n", " ")
    )


def test_columns_stand_below_each_other_and_words_give_way() -> None:
    table = [[cell("name"), 0.5, cell("7")], [cell("x" * 40), 1.0, cell("12")]]
    first, second = (line.plain for line in aligned(table, Look(50), words=(0,)))
    assert first.endswith("  7")
    assert second.startswith("x" * 23 + "… ")
    assert len(first) == len(second) == 24 + 1 + 12 + 1 + 2
    assert [len(line.plain) for line in aligned(table, Look(30), words=(0,))] == [27, 27]  # no bar
    assert cut("a long text", 8) == "a lon..."
