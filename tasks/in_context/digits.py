"""Few-shot episodes over the handwritten digits that scikit-learn brings."""

from __future__ import annotations

from functools import cache

import torch
from torch import Generator, Tensor

from attenergy.registry import MissingPackage, TaskOptionError
from attenergy.tasks.core.base import check_whole
from attenergy.tasks.core.sampling import distinct
from attenergy.tasks.core.streams import Fields, seed_of
from attenergy.tasks.in_context.episodes import Episodes

_DIGITS = 10
_PARTS = {"train": (0.0, 0.7), "valid": (0.7, 0.85), "test": (0.85, 1.0)}


class FewShotDigits(Episodes):
    """Episodes over handwritten digits, 1797 pictures of 8 x 8 pixels from 0 to 1.

    `train`, `valid` and `test` have the same classes and share no picture (70, 15 and 15 % of each
    class); `ood` has the `held_out` classes, which never occur in training. Which pictures and
    classes these are is drawn from `split_seed`. The K + m pictures of a class in an episode all
    differ. Tokens, answers and metric: see `Episodes`. No ceiling is known.

    Args:
        ways: N >= 2, at most the classes of training and those held out.
        shots: K >= 1.
        queries: m >= 1.
        held_out: classes held out, from 2 to 8.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the classes held out, the pictures of the splits and the episodes.

    Raises:
        ImportError: scikit-learn is not installed (the extra `data`).
        ValueError: for options out of range.

    Source: Alpaydin and Kaynak 1998, doi:10.24432/C50P49, as in `sklearn.datasets.load_digits`;
    episodes after Vinyals et al. 2016, arXiv:1606.04080.

    Example:
        >>> FewShotDigits(ways=2, shots=1, queries=1).batch("train", 0, 3).inputs.shape
        torch.Size([3, 3, 66])
    """

    splits = ("train", "valid", "test", "ood")
    headline = "ood"
    side = 8

    def __init__(
        self,
        *,
        ways: int = 3,
        shots: int = 2,
        queries: int = 6,
        held_out: int = 4,
        name: str = "few-shot-digits",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.held_out = check_whole("held_out", held_out, 2, _DIGITS - 2)
        self.declare(ways, shots, queries, self.side**2)
        if self.ways > (most := min(self.held_out, _DIGITS - self.held_out)):
            raise TaskOptionError(
                f"'ways' must be at most {most}, as {self.held_out} of {_DIGITS} classes are held "
                f"out; got {ways}"
            )
        check_whole("split_seed", split_seed)
        self.pictures, classes = digits()
        order = torch.randperm(len(classes), generator=self._generator("pictures"))
        names = torch.randperm(_DIGITS, generator=self._generator("classes")).tolist()
        groups = {digit: order[classes[order] == digit] for digit in range(_DIGITS)}
        self.members = {
            split: [groups[d][slice(*(int(end * len(groups[d])) for end in ends))] for d in known]
            for known, split, ends in [
                *((names[self.held_out :], split, ends) for split, ends in _PARTS.items()),
                (names[: self.held_out], "ood", (0.0, 1.0)),
            ]
        }
        fewest = min(len(members) for groups in self.members.values() for members in groups)
        if self.shots + self.queries > fewest:
            raise TaskOptionError(
                f"'shots' and 'queries' must be at most {fewest} together, the pictures of a class "
                f"in a split; got {shots} and {queries}"
            )
        super().__init__()

    def _generator(self, what: str) -> Generator:
        return Generator().manual_seed(seed_of("digits", what, self.split_seed))

    def draw_episodes(self, split: str, query_labels: Tensor, generator: Generator) -> Fields:
        """Draw `numbers` (n, N K + m), rows of `self.pictures`."""
        groups, count = self.members[split], len(query_labels)
        table = torch.nn.utils.rnn.pad_sequence(groups, batch_first=True)
        sizes = torch.tensor([len(group) for group in groups])
        classes = distinct(count, self.ways, len(groups), generator)
        keys = torch.rand(count, self.ways, table.shape[1], generator=generator)
        keys[torch.arange(table.shape[1]) >= sizes[classes][..., None]] = 2.0
        places = keys.topk(self.shots + self.queries, largest=False, sorted=True).indices
        rows = table[classes[..., None], places]  # (n, N, K + m), none of them twice
        queries = rows[..., self.shots :].gather(1, query_labels[:, None])[:, 0]
        return {"numbers": torch.cat([rows[..., : self.shots].flatten(1), queries], 1)}

    def features_of(self, instances: Fields) -> Tensor:
        """Pixels (n, N K + m, 64)."""
        return self.pictures[instances["numbers"]]


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Pictures (1797, 64), float32 from 0 to 1, and their classes (1797,).

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingPackage(
            "the digits come with scikit-learn; install it with `pip install 'attenergy[data]'`"
        ) from error
    data = load_digits()
    return torch.from_numpy(data.data).float() / 16, torch.from_numpy(data.target).long()
