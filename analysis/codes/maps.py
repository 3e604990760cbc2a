"""Codes in two dimensions, and what the codes of a class have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attenergy.registry import MissingPackage


@dataclass(frozen=True, eq=False)
class CodeMap:
    """The codes of one layer in a plane.

    Attributes:
        layer: its name.
        points: the numbers of the instances that are shown, (P,).
        pca: (P, 2), their first two principal components.
        explained: shares of the codes' variance along the two.
        tsne: (P, 2); None where scikit-learn is missing or the codes do not differ.
    """

    layer: str
    points: Tensor
    pca: Tensor
    explained: tuple[float, float]
    tsne: Tensor | None


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """The mean code of every class of a label in one layer.

    Attributes:
        layer: its name.
        label: the label's.
        classes: names of those that occur, C of them.
        means: (C, F).
        cosines: (C, C), between the means.
        centred: (C, C), between the means less the mean of them all. Weights that are all positive
            have cosines near 1, and differ here only.
    """

    layer: str
    label: str
    classes: tuple[str, ...]
    means: Tensor
    cosines: Tensor
    centred: Tensor


def principal_components(codes: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Coordinates (N, 2) along the two directions of greatest variance, and their shares of it.

    The sign of a direction is such that its largest number is positive. Codes that do not differ
    have coordinates and shares 0.
    """
    centred = codes - codes.mean(0)
    if codes.shape[-1] < 2:
        centred = torch.nn.functional.pad(centred, (0, 2 - codes.shape[-1]))
    if centred.abs().max() <= 1e-9 * (1 + codes.abs().max()):
        return codes.new_zeros(len(codes), 2), (0.0, 0.0)
    _, variances, directions = torch.linalg.svd(centred.mT @ centred)
    axes = directions[:2]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    shares = (variances / variances.sum()).tolist()
    return centred @ (axes * largest.sign()).mT, (shares[0], shares[1])


def t_sne(codes: Tensor, seed: int) -> Tensor:
    """t-SNE of codes (N, F) in two dimensions: (N, 2), of scikit-learn, from the PCA.

    Raises:
        MissingPackage: without scikit-learn.

    Source: van der Maaten and Hinton 2008, Journal of Machine Learning Research 9.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingPackage("t-SNE needs scikit-learn: `pip install attenergy[data]`") from error
    perplexity = min(30.0, max(2.0, (len(codes) - 1) / 3))
    mapping: Any = TSNE
    made = mapping(init="pca", random_state=seed, perplexity=perplexity)
    made = made.fit_transform(codes.numpy())
    return torch.as_tensor(made, dtype=torch.float64)


def map_codes(layer: str, codes: Tensor, points: Tensor, seed: int, *, tsne: bool) -> CodeMap:
    """PCA and t-SNE of the codes (N, F) of some instances."""
    shown = codes[points]
    pca, explained = principal_components(shown)
    plane = None
    several = shown.shape[-1] > 1 and len(torch.unique(shown, dim=0)) > 6
    if tsne and len(points) > 6 and several:
        scale = shown.std(0, correction=0).max()
        plane = t_sne((shown - shown.mean(0)) / scale, seed)
    return CodeMap(layer, points, pca, explained, plane)


def class_means(
    layer: str, codes: Tensor, label: str, labels: Tensor, classes: tuple[str, ...]
) -> ClassMeans:
    """Mean codes of the classes that occur, and their cosines; negative labels do not count."""
    there = torch.unique(labels[labels >= 0])
    means = torch.stack([codes[labels == each].mean(0) for each in there])
    names = tuple(classes[i] for i in there.tolist())
    return ClassMeans(layer, label, names, means, _cosines(means), _cosines(means - means.mean(0)))


def _cosines(means: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(means, dim=-1)
    return unit @ unit.mT
