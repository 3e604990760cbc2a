"""Train one configuration from its seed and measure what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from attenergy.registry import TrainingSpec, needed
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord, Status
from attenergy.search.runs.failures import Diverged, Outside, Pruned, in_one_line
from attenergy.search.runs.interrupts import from_outside
from attenergy.search.runs.limits import LimitReached
from attenergy.search.training import cost
from attenergy.search.training.checkpoint import Saver
from attenergy.search.training.energy_loss import make_energy_loss
from attenergy.search.training.evaluation import evaluate, evaluation_batch
from attenergy.search.training.model import build_model, save_weights, uses
from attenergy.search.training.optimizers import make_optimizers
from attenergy.search.training.precision import autocast
from attenergy.search.training.predict import predict
from attenergy.search.training.state import Clock, Progress, TrainingState
from attenergy.tasks import Batch, Task, make_task

Report = Callable[[int, int, float], None]  # step, steps, loss
#: Is called with every point of the curve, and `ms_per_step` until then; a text that is not empty
#: ends the run, as its reason.
Evaluated = Callable[[dict[str, float]], str]


def train(
    config: RunConfig,
    *,
    purpose: provenance.Purpose = "trial",
    report: Report | None = None,
    evaluated: Evaluated | None = None,
    weights: Path | None = None,
    saver: Saver | None = None,
) -> RunRecord:
    """Run `config` to its end and return the record, whatever happens on the way.

    The same configuration gives the same metrics, bit for bit, on one machine with one thread.
    A loss or a score that is not finite ends the run as `diverged`, an answer of `evaluated` as
    `pruned`, an exception as `failed`, a library's SystemExit or KeyboardInterrupt too, all with a
    reason of one line; only an interrupt from the keyboard, and what the listeners raise as
    `Outside`, passes through. Weights that cannot be written cost the run nothing else. The global
    random generator is left as it was. A GPU is used where there is one.

    Args:
        config: what to run.
        purpose: stands in the record.
        report: called now and then with (step, steps, loss).
        evaluated: called with every point of the curve; may end the run.
        weights: where to save the trained weights (safetensors) of a complete run.
        saver: saves the run's state now and then, and lets it go on from there: then the weights
            are those of a run that was never broken off, to the bit, and times add up.
    """
    progress = Progress()
    started = provenance.now()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    status: Status = "complete"
    reason, saved = "", ""
    try:
        memory = cost.PeakMemory(device)
        with torch.random.fork_rng():
            model = _run(config, progress, device, report, evaluated, saver)
        progress.cost |= _named("memory_bytes", memory.bytes())
        saved, reason = _save_weights(model, weights)
    except Diverged as error:
        status, reason = "diverged", str(error)
    except Pruned as error:
        status, reason = "pruned", str(error)
    except LimitReached as error:
        status, reason = "failed", str(error)
    except Outside:
        raise
    except KeyboardInterrupt as error:
        if from_outside(error):
            raise
        status, reason = "failed", in_one_line(error)
    except BaseException as error:  # SystemExit of a library too
        status, reason = "failed", in_one_line(error)
    progress.cost["seconds"] = progress.seconds
    return _record(config, status, reason, progress, purpose, device, saved, started)


def _record(
    config: RunConfig,
    status: Status,
    reason: str,
    progress: Progress,
    purpose: provenance.Purpose,
    device: torch.device,
    saved: str,
    started: str,
) -> RunRecord:
    about = provenance.failed(config, purpose, reason)
    facts = about.model_dump() | {
        "config": config,
        "status": status,
        "versions": about.versions | {need.name: need.version for need in needed(uses(config))},
        "machine": {
            **about.machine,
            "threads": str(torch.get_num_threads()),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        },
        "started": started,
        "weights": saved,
        "metrics": progress.metrics,
        "curve": progress.curve,
        "cost": progress.cost,
        "continued": progress.continued,
    }
    try:
        return RunRecord.model_validate(facts)
    except ValidationError as error:  # a task's metric that is no number
        return about.model_copy(update={"started": started, "reason": in_one_line(error)})


def _save_weights(model: nn.Module, path: Path | None) -> tuple[str, str]:
    """Save the weights; return where they are, and why they are not."""
    if path is None:
        return "", ""
    try:
        save_weights(model, path)
    except (OSError, SafetensorError) as error:
        return "", f"the weights could not be kept: {in_one_line(error)}"
    return str(path), ""


def _named(name: str, value: float | None) -> dict[str, float]:
    return {} if value is None else {name: value}


def _run(
    config: RunConfig,
    progress: Progress,
    device: torch.device,
    report: Report | None,
    evaluated: Evaluated | None,
    saver: Saver | None,
) -> nn.Module:
    training = config.training
    torch.manual_seed(config.seed)
    task = make_task(config.task_spec, seed=config.seed, split_seed=config.split_seed)
    model = build_model(config, task)
    if not model.training:  # as a whole, like what many libraries load; single parts stay so
        model.train()
    energy_loss = make_energy_loss(model, training)
    progress.cost["parameters"] = cost.count_parameters(model)
    batch = task.batch("valid", 0, 2)
    progress.cost["forward_flops"] = cost.forward_flops(model, batch, task.scored_positions)
    if energy_loss is not None:
        more = cost.energy_loss_flops(model, energy_loss, batch, task.scored_positions)
        progress.cost["energy_loss_flops"] = more
    progress.cost["state_bytes"] = cost.state_bytes(model, task.inputs.length)
    model.to(device)

    size = evaluation_batch(training)
    if training.steps:
        clock = Clock(training.steps, config.seconds, config.pause)
        optimizers = make_optimizers(model, training)
        state = TrainingState(config, model, optimizers, clock, progress, energy_loss=energy_loss)
        _train_loop(state, task, report, evaluated, saver)
    else:  # nothing to train; one evaluation stands for the curve
        scores = evaluate(model, task, "valid", training.valid_instances, batch_size=size)
        progress.curve.append({"step": 0, **scores})
        progress.metrics["valid"] = scores
    for split in task.splits:
        if split not in {"train", "valid"} and config.pause is None:
            progress.metrics[split] = evaluate(
                model, task, split, training.test_instances, batch_size=size
            )
    return model


def _train_loop(
    state: TrainingState,
    task: Task,
    report: Report | None,
    evaluated: Evaluated | None,
    saver: Saver | None,
) -> None:
    """The training loop; fills in the curve, the cost and the last validation scores."""
    training, clock, losses = state.config.training, state.clock, state.losses
    if saver is not None and saver.restore(state):
        _update_cost(clock, training, state.progress)
    while not clock.over:
        begin = time.perf_counter()
        state.optimizers.schedule(
            clock.position,
            warmup=training.warmup,
            total=clock.steps,
            kind=training.schedule,
            tail=training.tail,
        )
        losses.append(_train_step(state, task))
        clock.busy += time.perf_counter() - begin
        clock.done += 1
        _update_cost(clock, training, state.progress)
        if report is not None:
            report(clock.position, clock.last, losses[-1])
        if clock.done % training.evaluate_every == 0 or clock.over:
            _validate(state, task)
            losses.clear()
            state.energies.clear()
            reason = evaluated(_news(state.progress)) if evaluated is not None else ""
            if reason and not clock.over:
                raise Pruned(reason)
        if saver is not None:
            saver.save_if_due(state)


def _news(progress: Progress) -> dict[str, float]:
    """The last point of the curve, and the pace, which is none of its results."""
    return {**progress.curve[-1], "ms_per_step": progress.cost["ms_per_step"]}


def _train_step(state: TrainingState, task: Task) -> float:
    """One step on the next batch; the task's loss before it."""
    clock, training, energies = state.clock, state.config.training, state.energy_loss
    batch = task.batch("train", clock.done * training.batch_size, training.batch_size)
    scored = task.scored_positions
    with nullcontext() if energies is None else energies.recording(batch.mask, scored):
        loss = _task_loss(state, task, batch)
        value = loss.item()
        if energies is not None:
            term = energies.value()
            state.energies.append(term.item())
            loss = loss + energies.weight * term
        if not math.isfinite(value) or not math.isfinite(loss.item()):
            shown = value if not math.isfinite(value) else f"{loss.item()} with its energy loss"
            raise Diverged(f"training loss {shown} at step {clock.done} of {training.steps}")
        state.optimizers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
    state.optimizers.step()
    return value


def _task_loss(state: TrainingState, task: Task, batch: Batch) -> Tensor:
    model, training = state.model, state.config.training
    with autocast(training.precision, next(model.parameters(), torch.empty(0)).device):
        logits = predict(model, batch, task.scored_positions)
    return task.loss(logits.float(), batch.targets.to(logits.device))


def _update_cost(clock: Clock, training: TrainingSpec, progress: Progress) -> None:
    progress.cost["ms_per_step"] = 1000.0 * clock.busy / clock.done
    progress.cost["train_seconds"] = clock.busy
    instances = clock.done * training.batch_size
    flops = progress.cost["forward_flops"] + progress.cost.get("energy_loss_flops", 0.0)
    progress.cost["training_flops"] = cost.BACKWARD * instances * flops


def _validate(state: TrainingState, task: Task) -> None:
    """Evaluate on the validation split and add a point to the curve."""
    training, clock, progress = state.config.training, state.clock, state.progress
    where, size = f"after step {clock.done}", evaluation_batch(training)
    scores = evaluate(state.model, task, "valid", training.valid_instances, where, batch_size=size)
    named = {"valid_loss" if name == "loss" else name: value for name, value in scores.items()}
    spent = {} if clock.seconds is None else {"seconds": clock.busy}
    means = {"loss": math.fsum(state.losses) / len(state.losses)}
    if state.energies:
        means["energy_loss"] = math.fsum(state.energies) / len(state.energies)
    progress.curve.append({"step": clock.done, **spent, **means, **named})
    progress.metrics["valid"] = scores
