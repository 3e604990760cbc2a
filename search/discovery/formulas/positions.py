"""Positions in a tree: where its nodes stand, and the tree with another node at one of them."""

from __future__ import annotations

from collections.abc import Iterator

from attenergy.energies.language import Call, Expr, call

#: The number of the argument, at every call on the way from the root.
Path = tuple[int, ...]


def walk(tree: Expr, path: Path = ()) -> Iterator[tuple[Path, Expr]]:
    """Every node with its position, a call before its arguments.

    Example:
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> from attenergy.search.discovery.formulas.positions import walk
        >>> for path, node in walk(Candidate.from_formula("|xi|^2").tree):
        ...     print(path, node)
        () |xi|^2
        (0,) xi
    """
    yield path, tree
    if isinstance(tree, Call):
        for index, arg in enumerate(tree.args):
            yield from walk(arg, (*path, index))


def node_at(tree: Expr, path: Path) -> Expr:
    """The node at a position.

    Raises:
        IndexError: there is no such position.
    """
    for index in path:
        if not isinstance(tree, Call):
            raise IndexError(f"a tree has no position {path}")
        tree = tree.args[index]
    return tree


def replaced(tree: Expr, path: Path, node: Expr) -> Expr:
    """The tree with another node at a position; its types are checked anew.

    Raises:
        FormulaError: the node does not fit there.
        IndexError: there is no such position.
    """
    if not path:
        return node
    if not isinstance(tree, Call):
        raise IndexError(f"a tree has no position {path}")
    args = list(tree.args)
    args[path[0]] = replaced(args[path[0]], path[1:], node)
    return call(tree.function, *args)
