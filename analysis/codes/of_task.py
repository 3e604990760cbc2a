"""The latent code of a model on the task that it was trained for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis.codes.extraction import SELF, Pair
from attenergy.analysis.codes.latent_code import latent_code
from attenergy.analysis.codes.result import LatentCode
from attenergy.analysis.result import Progress
from attenergy.registry import AnalysisError
from attenergy.tasks import IGNORE, Batch, HasLatents, Latents, Task

#: Instances of seen and of held-out combinations.
INSTANCES = 3000


def latent_code_of_task(
    model: nn.Module,
    task: Task,
    *,
    instances: int = INSTANCES,
    seen: str = "test",
    held_out: str = "ood",
    pairs: Sequence[Pair] = SELF,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> LatentCode:
    """`latent_code` of instances of a task, with the labels that the task gives.

    Labels are those of the task's `latents` (Raven: the rule behind the answer; fuzzy logic: the
    terms, and their signs as numbers), and the `answer` at the state. A task without `latents` has
    its answer alone.

    Args:
        model: trained on the task.
        task: as `attenergy.make_task` makes it.
        instances: of seen combinations; of held-out ones there are half as many.
        seen: the split whose combinations the model was trained on.
        held_out: the split whose combinations it was not; a task without it has nothing held out.
        pairs: (state, pattern); by default the last position towards itself, which is the paper's.
            The authors' code looks from the last position of Raven (K features) at the last
            feature of the panels to its left: `[(-1, -1 - 2*K), (-1, -1 - K)]`.
        seed: of all that is drawn.
        progress: called with what is done, how much, of how much.
        **settings: others of `latent_code`.

    Raises:
        ValueError: an unknown split, or too few instances.

    Example:
        >>> task = attenergy.make_task("latch", length=6)
        >>> model = attenergy.Transformer(
        ...     layers="softmax", positions="absolute", kind="token", size=task.inputs.size,
        ...     length=6, outputs=task.outputs.size, width=16, heads=2, mlp=0,
        ... ).eval()
        >>> result = latent_code_of_task(model, task, instances=40, permutations=3)
        >>> result.name
        'latent-code'
    """
    if isinstance(instances, bool) or not isinstance(instances, int) or instances < 8:
        raise AnalysisError(f"instances must be a whole number from 8, got {instances!r:.40}")
    parts = [_latents(task, task.check_split(seen), instances)]
    if held_out in task.splits and held_out != seen:
        parts.append(_latents(task, held_out, instances // 2))
    elif held_out != "ood":
        task.check_split(held_out)
    labels = {name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels}
    answers = torch.cat([_answers(part.batch) for part in parts])
    labels.setdefault("answer", answers)
    masks = [part.batch.mask for part in parts]
    arguments: dict[str, Any] = {}
    if masks[0] is not None:
        arguments["mask"] = torch.cat([mask for mask in masks if mask is not None])
    apart = torch.cat(
        [torch.full((len(part.batch.inputs),), n > 0) for n, part in enumerate(parts)]
    )
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    return latent_code(
        model,
        torch.cat([part.batch.inputs for part in parts]).to(device),
        labels,
        held_out=apart if len(parts) > 1 else None,
        combinations=_combinations(parts),
        classes={name: names for part in parts for name, names in part.classes.items()},
        pairs=pairs,
        seed=seed,
        progress=progress,
        **{name: value.to(device) for name, value in arguments.items()},
        **settings,
    )


def _latents(task: Task, split: str, count: int) -> Latents:
    if isinstance(task, HasLatents):
        return task.latents(split, 0, count)
    return Latents(task.batch(split, 0, count), {}, torch.empty(0, dtype=torch.int64))


def _combinations(parts: Sequence[Latents]) -> Tensor | None:
    numbers = torch.cat([part.combinations for part in parts])
    return numbers if len(numbers) else None


def _answers(batch: Batch) -> Tensor:
    """Targets as labels: negative or NaN where there is none."""
    if batch.targets.is_floating_point():
        return batch.targets
    return torch.where(batch.targets == IGNORE, -1, batch.targets)
