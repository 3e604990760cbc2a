"""Heads inside a Hugging Face model, whose configuration knows what is set in them later."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from attenergy.attention.integrations.heads import EnergyHeads
from attenergy.energies.graphs.base import OnGraph
from attenergy.registry import ArgumentError

#: Name of the definition in a model's configuration.
ENTRY = "attenergy"


class ModelHeads(EnergyHeads):
    """Heads of one attention module; arguments as of `EnergyHeads`.

    An option that is set after the model was energized (`module.energy_heads.steps = 3`) is
    written to the model's configuration, under `attenergy.changed` and the name of the module, so
    that saving and loading keep it. So are, under `attenergy.graphs`, the sizes of a graph of the
    user's own, whose numbers are among the weights.
    """

    _place: tuple[Any, str] | None = None

    def put_into(self, config: Any, name: str) -> None:
        """Say where the heads are.

        Args:
            config: the model's configuration, which holds the definition.
            name: of the attention module, without the prefix of the base model.
        """
        self._place = (config, name)
        for path, part in self.named_modules():
            if isinstance(part, OnGraph):
                part.watch_graph = partial(_note_graph, config, name, path)
                part.watch_graph(part.own_sizes())

    def make_room(self, graphs: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
        """Give energies tensors for graphs of the user's own, whose numbers are read later.

        Args:
            graphs: sizes of the tensors, by the energy's place in the heads and by name.

        Raises:
            ValueError: there is no energy on a graph, or no graph consists of such tensors.
        """
        parts = dict(self.named_modules())
        for path, sizes in graphs.items():
            part = parts.get(path)
            if not isinstance(part, OnGraph):
                raise ArgumentError(f"'{path}' is on no graph", topic="drop-in")
            part.make_room(sizes)

    def changed(self, name: str) -> None:
        """Remember an option that was set later."""
        super().changed(name)
        if self._place is None:
            return
        config, place = self._place
        entry = dict(getattr(config, ENTRY))
        all_changed = dict(entry.get("changed", {}))
        all_changed[place] = {**all_changed.get(place, {}), name: getattr(self, name)}
        setattr(config, ENTRY, {**entry, "changed": all_changed})


def _note_graph(config: Any, place: str, path: str, sizes: dict[str, list[int]]) -> None:
    """Write the sizes of a graph of the user's own to the model's configuration, or none."""
    entry = dict(getattr(config, ENTRY))
    graphs = {name: dict(parts) for name, parts in entry.pop("graphs", {}).items()}
    graphs.setdefault(place, {}).pop(path, None)
    if sizes:
        graphs[place][path] = sizes
    graphs = {name: parts for name, parts in graphs.items() if parts}
    setattr(config, ENTRY, {**entry, "graphs": graphs} if graphs else entry)
