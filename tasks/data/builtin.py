"""Real sets that other packages bring, without a download: `sklearn:wine`, `pyg:karate`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from attenergy.registry import MissingPackage, UnknownName

#: Name after `sklearn:` -> its function in `sklearn.datasets`.
SKLEARN = {
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
    "digits": "load_digits",
    "iris": "load_iris",
    "wine": "load_wine",
}
_PREFIX = "sklearn:"


def is_builtin(path: str) -> bool:
    """Whether a path names a set that a package brings, and no file."""
    return path.startswith((_PREFIX, "pyg:"))


def sklearn_set(path: str) -> Any:
    """The set that a path such as `sklearn:wine` names, as scikit-learn gives it; None for others.

    Raises:
        UnknownName: there is no such set.
        MissingPackage: without scikit-learn, with the line that installs it.
    """
    if not path.startswith(_PREFIX):
        return None
    name = path.removeprefix(_PREFIX)
    if name not in SKLEARN:
        raise UnknownName("set of scikit-learn", name, SKLEARN)
    return getattr(_datasets(path), SKLEARN[name])()


def _datasets(path: str) -> ModuleType:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingPackage(
            f"{path!r} needs scikit-learn: `pip install attenergy[data]`"
        ) from error
    module: ModuleType = datasets
    return module
