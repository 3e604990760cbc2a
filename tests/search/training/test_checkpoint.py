"""A run that is broken off goes on to the bit; what is no checkpoint of it is passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig
from attenergy.search.training import checkpoint, state_tensors
from attenergy.search.training.optimizers import make_optimizers
from attenergy.search.training.state import Clock, Progress, TrainingState
from attenergy.search.training.train import train
from tests.search.training.conftest import STEPS, Run

ConfigMaker = Callable[..., RunConfig]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_goes_on_to_the_bit_from_every_step(
    make_run: Callable[..., Run], optimizer: str
) -> None:
    run = make_run(optimizer=optimizer)
    whole = train(run.config, weights=run.folder / "whole")
    for step in (1, 3, 4, STEPS - 1):
        run.stop_after(step)
        record = run.train("continued")
        assert record.continued == (step,)
        assert run.digest("continued") == run.digest("whole")
        assert record.metrics == whole.metrics
        assert record.curve == whole.curve
        run.path.unlink()
    assert not run.messages


@pytest.mark.parametrize(
    ("variant", "training"),
    [("hyla", {"precision": "bfloat16"}), ("performer", {"optimizer": "muon"}), ("rbm", {})],
)
def test_buffers_precision_and_energies_go_on_too(
    make_run: Callable[..., Run], variant: str, training: dict[str, Any]
) -> None:
    run = make_run(variant, **training)
    whole = train(run.config, weights=run.folder / "whole")
    assert whole.status == "complete", whole.reason
    run.stop_after(4)
    run.train("continued")
    assert run.digest("continued") == run.digest("whole")


def test_a_run_that_is_broken_off_again_and_again(make_run: Callable[..., Run]) -> None:
    run = make_run()
    whole = train(run.config, weights=run.folder / "whole")
    for step in (1, 2, 5, 6):
        run.stop_after(step)
    record = run.train("continued")
    assert record.continued == (1, 2, 5, 6)
    assert run.digest("continued") == run.digest("whole")
    assert record.cost["training_flops"] == whole.cost["training_flops"]
    begins = [event[2] for event in run.events if event[0] == "continued"]
    assert 0 < begins[0] < begins[1] < begins[2] < begins[3] < record.cost["seconds"]


def test_a_run_that_ended_its_training_is_only_evaluated(make_run: Callable[..., Run]) -> None:
    run = make_run()
    whole = run.train("whole")
    record = run.train("continued")
    assert record.continued == (STEPS,)
    assert (record.metrics, record.curve) == (whole.metrics, whole.curve)
    assert record.cost["training_flops"] == whole.cost["training_flops"]
    assert run.digest("continued") == run.digest("whole")


def test_a_buffer_that_is_no_weight_goes_on(make_config: ConfigMaker, tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))
            self.register_buffer("count", torch.zeros(()), persistent=False)

    def state(model: nn.Module) -> TrainingState:
        config = make_config()
        optimizers = make_optimizers(model, config.training)
        return TrainingState(config, model, optimizers, Clock(12, None, done=5), Progress())

    model, other = Counting(), Counting()
    model.count += 3
    state_tensors.StateTensors(state(other)).take(state_tensors.StateTensors(state(model)).give())
    assert other.count == 3


def test_nothing_is_written_before_it_is_time(make_run: Callable[..., Run]) -> None:
    run = make_run()
    run.checkpoints = Checkpoints(run.folder / "checkpoints")
    assert run.train("whole").status == "complete"
    assert run.events == []
    assert not run.checkpoints.folder.exists()


def test_a_checkpoint_that_takes_long_is_written_less_often(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_RATIO", 1e9)
    run = make_run()
    run.train("whole")
    assert [event[0] for event in run.events] == ["saved"]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


def _huge(data: bytes) -> bytes:
    return (2**60).to_bytes(8, "little") + data[8:]


def _nested(data: bytes) -> bytes:
    return (200_000).to_bytes(8, "little") + b"[" * 200_000


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_cut, "it is damaged"),
        (_flipped, "its digest is another"),
        (_huge, "its header is said to have"),
        (_nested, "it is damaged"),
        (lambda _: b"", "it is damaged"),
        (lambda _: b"\x80\x04cos\nsystem\n.", "its header is said to have"),
        (lambda data: data + b"\0" * 40_000_000, "is larger than"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(
    make_run: Callable[..., Run], damage: Callable[[bytes], bytes], says: str
) -> None:
    run = make_run()
    run.stop_after(2)
    data = run.path.read_bytes()
    train(run.config, weights=run.folder / "whole")
    run.path.write_bytes(damage(data))
    record = run.train("anew")
    (message,) = run.messages
    assert message.startswith("its checkpoint is passed over, and it begins anew: ")
    assert says in message
    assert record.continued == ()
    assert run.digest("anew") == run.digest("whole")


def _rewritten(run: Run, **changes: Any) -> None:
    """Change what a checkpoint says, with the digest that belongs to it."""
    tensors = load_file(run.path)
    with safe_open(run.path, "pt") as file:
        about = json.loads(file.metadata()["attenergy"])
    for name, value in changes.items():
        if name.startswith("tensor "):
            tensors[name.removeprefix("tensor ")] = value
        else:
            about[name] = value
    tensors = {name: value for name, value in tensors.items() if value is not None}
    text = json.dumps(about)
    metadata = {"attenergy": text, "sha256": checkpoint._digest(text, tensors)}
    save_file(tensors, run.path, metadata)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": "0" * 64}, "it belongs to another run"),
        ({"torch": "1.0"}, "torch was 1.0, is "),
        ({"attenergy": "0"}, "attenergy was 0, is "),
        ({"device": "cuda"}, "device was cuda, is cpu"),
        ({"format": 2}, "format: "),
        ({"unknown": 1}, "unknown: "),
        ({"step": 0}, "step: "),
        ({"step": 1000}, "no curve of so many steps"),
        ({"curve": [{"step": 9.0}]}, "no curve of so many steps"),
        ({"curve": [{"loss": 9.0}]}, "no curve of so many steps"),
        ({"busy": "NaN"}, "busy: "),
        ({"tensor losses": None}, "no list of losses"),
        ({"tensor model.norm.weight": torch.zeros(3)}, "'model.norm.weight' should be"),
        ({"tensor model.more": torch.zeros(3)}, "'model.more', which this run has not"),
        ({"tensor optimizer.0.0.exp_avg": torch.zeros(3)}, "does not fit its parameter"),
        ({"tensor optimizer.9.0.exp_avg": torch.zeros(3)}, "which this run has not"),
        ({"tensor generator.cpu": torch.zeros(5056, dtype=torch.uint8)}, "random generator"),
        (
            {f"tensor optimizer.0.0.more{n}": torch.zeros(()) for n in range(9)},
            "more about 'optimizer.0.0' than an optimiser does",
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_passed_over(
    make_run: Callable[..., Run], changes: dict[str, Any], says: str
) -> None:
    run = make_run()
    run.stop_after(2)
    _rewritten(run, **changes)
    record = run.train("anew", until=None)
    (message,) = run.messages
    assert says in message
    assert (record.status, record.continued) == ("complete", ())


def test_a_link_out_of_the_folder_is_not_followed(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = make_run()
    run.stop_after(2)
    elsewhere = run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(elsewhere)
    assert run.train("anew").continued == ()
    assert "leads out of" in run.messages[0]
    assert elsewhere.exists()


def test_a_checkpoint_that_cannot_be_written_costs_nothing(make_run: Callable[..., Run]) -> None:
    run = make_run()
    run.checkpoints.folder.write_text("in the way")
    record = run.train("whole")
    assert (record.status, record.reason) == ("complete", "")
    (message,) = run.messages
    assert message.startswith("no checkpoint of it could be written: ")


def test_there_is_a_most_that_checkpoints_take(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attenergy.search.runs.checkpoints.MOST_BYTES", 10_000)
    run = make_run()
    assert run.train("whole").status == "complete"
    (message,) = run.messages
    assert "all checkpoints of a folder together" in message
    assert not run.path.exists()


def test_runs_of_before_keep_their_keys(make_config: ConfigMaker) -> None:
    """A record of then has no schedule; it is that of now with the cosine."""
    config = make_config()
    data = config.model_dump(mode="json", by_alias=True)
    for training in (data["training"], data["task_spec"]["training"]):
        del training["schedule"], training["tail"]
    assert RunConfig.model_validate(data).run_key() == config.run_key()
    assert make_config(schedule="constant_tail").run_key() != config.run_key()
