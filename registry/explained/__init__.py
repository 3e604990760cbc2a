"""What errors and laws mean, usual causes and what to do: `attenergy explain` and two pages."""

from attenergy.registry.explained.formulas import FILES, FORMULAS, NAMES
from attenergy.registry.explained.laws import LAWS
from attenergy.registry.explained.layers import LAYERS, MODELS
from attenergy.registry.explained.tasks_and_searches import SEARCHES, TASKS
from attenergy.registry.explained.topic import Example, Law, Topic

#: Topics by the heading under which they stand.
GROUPS: dict[str, tuple[Topic, ...]] = {
    "Formulas": FORMULAS,
    "Registry files": FILES,
    "Names, settings and code of yours": NAMES,
    "Layers and energies": LAYERS,
    "Models": MODELS,
    "Tasks and data": TASKS,
    "Searches, comparisons and studies": SEARCHES,
}
TOPICS: dict[str, Topic] = {topic.name: topic for each in GROUPS.values() for topic in each}
#: Everything that `attenergy explain` knows, by name.
EXPLAINED: dict[str, Topic | Law] = {**TOPICS, **{law.name: law for law in LAWS}}

__all__ = ["EXPLAINED", "GROUPS", "LAWS", "TOPICS", "Example", "Law", "Topic"]
