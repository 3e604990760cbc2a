"""Attention as a hypernetwork: what the code of the heads tells of what lies behind an instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

from attenergy.analysis.codes.decoding import (
    ALL,
    LabelDecoding,
    decode_classes,
    decode_numbers,
)
from attenergy.analysis.codes.extraction import SELF, Pair, head_codes
from attenergy.analysis.codes.maps import CodeMap, class_means, map_codes
from attenergy.analysis.codes.result import LatentCode
from attenergy.analysis.codes.sets import Sets, split
from attenergy.analysis.result import Progress
from attenergy.registry import AnalysisError, ArgumentTypeError, MissingPackage

Label = Tensor | Sequence[Any]

#: Classes that a decoder may tell apart, layers of which maps are drawn, instances in a map.
_MOST_CLASSES, _MOST_MAPS, _MOST_POINTS = 64, 4, 400
#: Numbers that stand for magnitudes are shown in so many groups.
_MAGNITUDES = 5


def latent_code(  # noqa: PLR0913 - the data, what to look at, and how hard
    model: nn.Module,
    inputs: Tensor | Sequence[Any],
    labels: Label | Mapping[str, Label],
    *,
    held_out: Tensor | Sequence[bool] | None = None,
    combinations: Tensor | Sequence[int] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    pairs: Sequence[Pair] = SELF,
    permutations: int = 20,
    tsne: bool | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **arguments: Any,
) -> LatentCode:
    """Read z = (a[1, i, j], ..., a[H, i, j]) of every layer, and see what z tells of the labels.

    For every layer and label of classes a logistic regression on scaled codes, classes weighed
    alike (for labels of numbers a ridge regression), is fitted to codes of seen combinations and
    judged on held-out ones, by balanced accuracy and macro F1 (by R2). Beside it stand: the most
    frequent class; decoders fitted to permuted labels; a decoder of scrambled heads, each head's
    weights dealt out anew to the instances. And PCA, t-SNE, the mean code of each class and
    their cosines.

    Args:
        model: any with attention that `attention_calls` can read. Call `model.eval()` first.
        inputs: the model's first argument, N instances along the first axis; or several arguments.
        labels: a class or a number of every instance, or several labels by name. Whole numbers or
            texts (N,) are classes; whole numbers (N, L) are classes of every position, of which
            that of the state counts; negative ones are none. Floats (N,), (N, L) or, for M numbers
            at once, (N, L or 1, M) are numbers; NaN is none.
        held_out: (N,), true where an instance has a combination that no decoder is fitted to (the
            model, too, should never have been trained on it). None: nothing is held out, and
            decoders are judged on fresh instances.
        combinations: (N,), the same whole number for the same combination of labels. Errors and
            permutations then count combinations, not instances, as independent.
        classes: names of the classes of a label, by label.
        pairs: (state, pattern), whose codes are joined; by default the last position towards
            itself, as in the paper.
        permutations: of the labels; 20 can tell p = 0.05.
        tsne: whether to make t-SNE, which needs scikit-learn; None: if it is installed.
        batch_size: instances of one forward pass; by default as memory allows.
        seed: of all that is drawn.
        progress: called with what is done, how much, of how much.
        **arguments: the model's own.

    Returns:
        A `LatentCode`.

    Raises:
        ValueError: shapes that do not fit, no layer with weights, labels without two classes.
        MissingPackage: `tsne=True` without scikit-learn.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(8, 2))
        >>> x, rules = torch.randn(60, 4, 8), torch.arange(60) % 2
        >>> code = latent_code(model, x, rules, permutations=3)
        >>> [path.name for path in code.save("analysis")][:2]
        ['latent-code.json', 'latent-code.md']

    Source: Schug et al. 2025, arXiv:2406.05816 (figures 2, 5, A2, A6 to A8).
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if isinstance(permutations, bool) or not isinstance(permutations, int) or permutations < 1:
        raise AnalysisError(f"permutations must be a whole number from 1, got {permutations!r:.40}")
    codes = head_codes(
        model, *given, pairs=pairs, batch_size=batch_size, progress=progress, **arguments
    )
    layers = dict(codes.layers)
    count = len(next(iter(layers.values())))
    sets = split(count, held_out, combinations, seed)
    named = labels if isinstance(labels, Mapping) else {"label": labels}
    skipped = [f"{name} has no code: {why}." for name, why in codes.missing.items()]
    whole = layers | ({ALL: torch.cat(list(layers.values()), -1)} if len(layers) > 1 else {})
    decodings: list[LabelDecoding] = []
    shown: dict[str, tuple[Tensor, tuple[str, ...]]] = {}
    for number, (name, label) in enumerate(named.items()):
        if progress is not None:
            progress("labels", number, len(named))
        numbers, names = _at_state(name, label, (classes or {}).get(name), count, pairs[0][0])
        why = _undecidable(name, numbers, names, sets)
        if why:
            skipped.append(why)
        elif names is None:
            decodings.append(decode_numbers(whole, name, numbers, sets, permutations, seed))
        else:
            decodings.append(decode_classes(whole, name, numbers, names, sets, permutations, seed))
        if names is not None:
            shown[name] = numbers, names
        elif numbers.shape[-1] == 1:
            shown[name] = _magnitudes(numbers[:, 0])
    if progress is not None:
        progress("labels", len(named), len(named))
    maps, reason = _maps(layers, sets, seed, tsne, progress)
    means = tuple(
        class_means(layer, each, name, *shown[name])
        for name in (decoding.label for decoding in decodings if decoding.classes)
        for layer, each in layers.items()
    )
    left_out = tuple(filter(None, [*skipped, reason]))
    every = tuple((i, j) for i, j in pairs)
    return LatentCode(layers, every, tuple(decodings), maps, means, shown, left_out)


def _at_state(
    name: str, label: Label, classes: Sequence[str] | None, count: int, state: int
) -> tuple[Tensor, tuple[str, ...] | None]:
    """Classes (N,) and their names; or numbers (N, M) and None."""
    if not isinstance(label, Tensor) and any(isinstance(each, str) for each in label):
        texts = [str(each) for each in label]
        classes = sorted(set(texts)) if classes is None else classes
        missing = set(texts) - set(classes)
        if missing:
            raise AnalysisError(f"label {name!r} has {min(missing)!r}, which classes do not name")
        label = torch.tensor([list(classes).index(each) for each in texts])
    try:
        values = torch.as_tensor(label).cpu()
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"label {name!r} must be numbers or texts", topic="analysis"
        ) from error
    if not values.ndim or len(values) != count:
        raise AnalysisError(
            f"label {name!r} must be of {count} instances, got shape {tuple(values.shape)}"
        )
    if values.ndim > 1:
        if values.shape[1] > 1 and not -values.shape[1] <= state < values.shape[1]:
            raise AnalysisError(
                f"label {name!r} is of {values.shape[1]} positions, so the state {state} has none"
            )
        values = values[:, state if values.shape[1] > 1 else 0]
    if values.is_floating_point():
        return (values[:, None] if values.ndim == 1 else values).double(), None
    if values.ndim > 1:
        raise AnalysisError(f"label {name!r} must be one class of each instance or position")
    values = values.long()
    highest = int(values.max()) + 1
    names = tuple(map(str, range(max(0, highest)) if classes is None else classes))
    if highest > len(names):
        raise AnalysisError(
            f"label {name!r} has the class {highest - 1}, and only {len(names)} have a name"
        )
    return values, names


def _undecidable(name: str, values: Tensor, names: tuple[str, ...] | None, sets: Sets) -> str:
    """Why a label has no decoder, as a sentence; empty if it has one."""
    if names is None:
        there = ~values.isnan().any(-1)
        if not (there[sets.fit].any() and there[sets.fresh].any()):
            return f"{name} is not decoded: no seen instance has it."
        fitted = values[sets.fit][there[sets.fit]]
        return "" if fitted.std(0).max() > 0 else f"{name} is not decoded: it does not vary."
    known = values[sets.fit]
    number = len(torch.unique(known[known >= 0]))
    if number < 2:
        return (
            f"{name} is not decoded: seen instances have {number} of its classes, two are needed."
        )
    if number > _MOST_CLASSES:
        return f"{name} is not decoded: {number} classes are more than {_MOST_CLASSES}."
    return ""


def _magnitudes(values: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers in groups of about one size, from the smallest."""
    there = ~values.isnan()
    shares = torch.linspace(0, 1, _MAGNITUDES + 1, dtype=values.dtype)
    edges = values[there].quantile(shares) if there.any() else shares
    ids = torch.bucketize(values.nan_to_num(), edges[1:-1], right=True)
    names = [f"{a:.2g} to {b:.2g}" for a, b in pairwise(edges.tolist())]
    return torch.where(there, ids, -1), tuple(names)


def _maps(
    layers: Mapping[str, Tensor],
    sets: Sets,
    seed: int,
    tsne: bool | None,
    progress: Progress | None,
) -> tuple[tuple[CodeMap, ...], str]:
    """Of the last layer and some before it; and why there is no t-SNE."""
    names = list(layers)
    steps = torch.linspace(0, len(names) - 1, min(_MOST_MAPS, len(names))).round().long()
    chosen = [names[i] for i in steps.tolist()]
    points = sets.judged
    order = torch.randperm(len(points), generator=Generator().manual_seed(seed))
    points = points[order[:_MOST_POINTS]].sort().values
    reason = ""
    if tsne is not False:
        try:
            import sklearn.manifold  # noqa: F401
        except ImportError as error:
            reason = "t-SNE is left out: it needs scikit-learn, `pip install attenergy[data]`."
            if tsne:
                raise MissingPackage(reason) from error
            tsne = False
    maps = []
    for number, name in enumerate(chosen):
        if progress is not None:
            progress("maps", number, len(chosen))
        maps.append(map_codes(name, layers[name], points, seed, tsne=tsne is not False))
    if progress is not None:
        progress("maps", len(chosen), len(chosen))
    return tuple(maps), reason
