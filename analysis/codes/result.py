"""What the latent code tells: figures with their controls, maps, and codes in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from attenergy.analysis.codes.decoding import LabelDecoding, LayerDecoding, Score
from attenergy.analysis.codes.extraction import Pair
from attenergy.analysis.codes.maps import ClassMeans, CodeMap
from attenergy.analysis.result import Result, Table
from attenergy.registry import UnknownName

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

#: At most so often may permuted labels do as well as the true ones where something is decodable.
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class LatentCode(Result):
    """What the codes of the heads tell of labels.

    Attributes:
        codes: name of a layer -> (N, pairs x heads), of all instances.
        pairs: the (state, pattern) whose weights they are.
        decodings: one for each label, the most wanted first.
        maps: of some layers, the last among them.
        means: of every layer and label of classes.
        shown: name of a label -> what the points of the maps are coloured by: class of each
            instance (N,), negative where there is none, and the names of the classes.
        skipped: what was left out, and why, in sentences.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(8, 2))
        >>> x, labels = torch.randn(60, 4, 8), torch.arange(60) % 2
        >>> result = latent_code(model, x, labels, permutations=3)
        >>> result.name
        'latent-code'
    """

    name: ClassVar[str] = "latent-code"
    title: ClassVar[str] = "Latent code"

    codes: Mapping[str, Tensor]
    pairs: tuple[Pair, ...]
    decodings: tuple[LabelDecoding, ...]
    maps: tuple[CodeMap, ...]
    means: tuple[ClassMeans, ...]
    shown: Mapping[str, tuple[Tensor, tuple[str, ...]]]
    skipped: tuple[str, ...] = ()

    def decodable(self, label: str | None = None) -> bool:
        """Whether a layer tells a label better than it tells all permuted ones; p <= 0.05.

        Args:
            label: its name; the first one if None.
        """
        decoding = self._decoding(label)
        return decoding.p_value(decoding.best.judged.value) <= LEVEL

    def _decoding(self, label: str | None) -> LabelDecoding:
        if label is None:
            return self.decodings[0]
        known = {each.label: each for each in self.decodings}
        if label not in known:
            raise UnknownName("label", label, known)
        return known[label]

    @property
    def sentence(self) -> str:
        """Where the first label is decoded, how well, and against what."""
        if not self.decodings:
            return "No label could be decoded."
        first = self.decodings[0]
        best = first.best
        place = (
            f"on {first.combinations or ''} held-out combinations".replace("  ", " ")
            if first.on_held_out
            else "on fresh instances (no combination is held out)"
        )
        figure = f"{first.metric} {best.judged.value:.2f} {place}"
        against = (
            f"{first.majority.value:.2f} without the code, at most {max(first.null):.2f} with "
            f"permuted labels, {best.scrambled.value:.2f} from scrambled heads; "
            f"p = {first.p_value(best.judged.value):.2f}"
        )
        if self.decodable():
            return f"The code of {best.layer} tells the {first.label}: {figure} ({against})."
        return f"No layer's code tells the {first.label}: at best {figure} ({against})."

    def numbers(self) -> dict[str, Any]:
        """Decodings with every control, means with their cosines, coordinates of the maps."""
        return {
            "pairs": [list(pair) for pair in self.pairs],
            "labels": [_label_numbers(each) for each in self.decodings],
            "means": [
                {
                    "layer": each.layer,
                    "label": each.label,
                    "classes": list(each.classes),
                    "means": each.means.tolist(),
                    "cosines": each.cosines.tolist(),
                    "cosines_centred": each.centred.tolist(),
                }
                for each in self.means
            ],
            "maps": [self._map_numbers(each) for each in self.maps],
            "skipped": list(self.skipped),
        }

    def _map_numbers(self, each: CodeMap) -> dict[str, Any]:
        return {
            "layer": each.layer,
            "explained": list(each.explained),
            "pca": each.pca.tolist(),
            "tsne": None if each.tsne is None else each.tsne.tolist(),
            "classes": {
                label: [names[c] if c >= 0 else None for c in ids[each.points].tolist()]
                for label, (ids, names) in self.shown.items()
            },
        }

    def tables(self) -> list[Table]:
        """One for each label: each layer beside its controls."""
        return [_table(each) for each in self.decodings]

    def pictures(self) -> list[Picture]:
        """Decoding by layer, maps by label, cosines of the classes."""
        from attenergy.analysis.codes.pictures import draw

        return draw(self.decodings, self.maps, self.means, self.shown)

    def notes(self) -> list[str]:
        """What the columns are, what was left out."""
        notes = [*_unseen(self.decodings), *self.skipped]
        if any(each.classes for each in self.decodings):
            notes.append(
                "Balanced accuracy and F1 are means over classes, so a frequent class counts no "
                "more than a rare one."
            )
        notes.append(
            "Decoders are fitted on seen combinations; seen, or fresh: other instances of those. "
            "Majority, mean: always the most frequent class, or the mean, without any code. "
            "Permuted: the highest of decoders fitted to permuted labels and judged by such; "
            "instances of one combination keep sharing a label where combinations are known. "
            "Scrambled: each head's weights dealt out anew to the instances. p: share of "
            "permutations in which some layer does as well. +-: standard error, a jackknife over "
            "combinations."
        )
        for each in self.decodings:
            if any(layer.scrambled.value > max(each.null) for layer in each.layers):
                notes.append(
                    f"Scrambled heads tell the {each.label} better than any permuted labels do: "
                    "too few instances or combinations to conclude anything."
                )
        return notes


def _unseen(decodings: Sequence[LabelDecoding]) -> list[str]:
    notes = []
    for each in decodings:
        if not each.unseen:
            continue
        names = ", ".join(each.unseen)
        rest = (
            f"{each.not_judged} held-out instances with them are not judged."
            if each.on_held_out
            else "No other class is held out, so all figures are of fresh instances of seen "
            "combinations."
        )
        notes.append(
            f"Held-out classes of {each.label} that no seen combination has: {names}. No decoder "
            f"can answer what it never saw; {rest}"
        )
    return notes


def _table(decoding: LabelDecoding) -> Table:
    fit, fresh, held_out = decoding.instances
    header = ["layer", *(["seen", "held out"] if decoding.on_held_out else ["fresh"]), "+-"]
    header += [] if decoding.of_numbers else ["F1"]
    header += ["mean" if decoding.of_numbers else "majority", "permuted", "scrambled", "p"]
    sizes = f"fitted on {fit}, seen: {fresh} fresh instances"
    if decoding.on_held_out:
        of = f" of {decoding.combinations} combinations" if decoding.combinations else ""
        sizes += f", held out: {held_out}{of}"
    rows = [_row(decoding, each) for each in decoding.layers]
    return Table(f"{decoding.label}, {decoding.metric} ({sizes})", header, rows)


def _row(decoding: LabelDecoding, each: LayerDecoding) -> list[str]:
    judged = each.judged
    numbers = [each.fresh.value] if decoding.on_held_out else []
    numbers += [judged.value, judged.error]
    numbers += [] if decoding.of_numbers else [judged.f1]
    numbers += [decoding.majority.value, max(each.permuted), each.scrambled.value]
    return [each.layer, *(f"{x:.3f}" for x in numbers), f"{decoding.p_value(judged.value):.3f}"]


def _label_numbers(decoding: LabelDecoding) -> dict[str, Any]:
    fit, fresh, held_out = decoding.instances
    return {
        "label": decoding.label,
        "metric": decoding.metric,
        "classes": list(decoding.classes),
        "held_out_classes_never_seen": list(decoding.unseen),
        "not_judged": decoding.not_judged,
        "instances": {"fit": fit, "fresh": fresh, "held_out": held_out},
        "held_out_combinations": decoding.combinations,
        "without_code": _score(decoding.majority),
        "highest_of_each_permutation": list(decoding.null),
        "layers": [
            {
                "layer": each.layer,
                "fresh": _score(each.fresh),
                "judged": _score(each.judged),
                "permuted": list(each.permuted),
                "scrambled": _score(each.scrambled),
                "p": decoding.p_value(each.judged.value),
            }
            for each in decoding.layers
        ],
    }


def _score(score: Score) -> dict[str, float]:
    return {"value": score.value, "f1": score.f1, "error": score.error}
