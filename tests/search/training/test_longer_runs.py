"""What runs of different lengths have in common is trained once."""

from __future__ import annotations

from collections.abc import Callable

from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.training import checkpoint
from attenergy.search.training.train import train
from tests.search.training.conftest import Run


def test_a_longer_run_goes_on_from_what_it_has_in_common_with_a_shorter_one(
    make_run: Callable[..., Run],
) -> None:
    """To the bit, although the shorter one went to the end of its tail."""
    short = make_run(steps=10, schedule="constant_tail", optimizer="muon")
    short.checkpoints = Checkpoints(short.path.parent, seconds=0, keep=True)
    short.train("short")
    (kept,) = short.checkpoints.folder.iterdir()
    assert kept.name.endswith(".8.safetensors")
    long = Run(short.config.with_steps(20), short.folder)
    long.checkpoints = short.checkpoints
    whole = train(long.config, weights=long.folder / "whole")
    record = long.train("continued")
    assert record.continued == (8,)
    assert (record.curve, record.metrics) == (whole.curve, whole.metrics)
    assert long.digest("continued") == long.digest("whole")
    tail = checkpoint.shared_states(long.config)[-1]
    assert [step for step, _ in short.checkpoints.stems(tail.stem)] == [16, 8]

    middle = Run(short.config.with_steps(15), short.folder)
    middle.checkpoints = short.checkpoints
    assert middle.train("middle").continued == (8,), "16 is in its tail"
    other = Run(long.config.model_copy(update={"seed": 1}), short.folder)
    other.checkpoints = short.checkpoints
    assert other.train("other").continued == ()


def test_what_a_run_has_not_in_common_is_passed_over(make_run: Callable[..., Run]) -> None:
    short = make_run(steps=10, schedule="constant_tail")
    short.checkpoints = Checkpoints(short.path.parent, seconds=0, keep=True)
    short.train("short")
    (kept,) = short.checkpoints.folder.iterdir()
    late = kept.rename(kept.with_name(kept.name.replace(".8.", ".7.")))
    kept.write_bytes(late.read_bytes()[:-1])
    long = Run(short.config.with_steps(20), short.folder)
    long.checkpoints = short.checkpoints
    assert long.train("continued").continued == (8,), "the next one fits"
    assert "it is damaged" in long.messages[0]
    early = Run(short.config.with_steps(9), short.folder)  # its tail begins at 7
    early.checkpoints = short.checkpoints
    assert early.train("early").continued == ()
    assert "no curve of so many steps" in early.messages[0]
