"""Faults that can be planted in a Python file, one at a time, each a change of one expression.

`faults(text)` lists them. Left alone are docstrings, texts, annotations, imports, `__repr__` and
what only words a message: a changed word is no fault that a test should see.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
#: Calls that only tell somebody something.
MESSAGES = {"print", "warn", "warning", "info", "debug", "echo", "add_note", "help"}
SILENT = {"__repr__", "__str__", "extra_repr", "describe"}


@dataclass(frozen=True)
class Fault:
    """A change: in the lines `first` to `last` of a file, `before` becomes `after`."""

    operator: str
    function: str
    first: int
    last: int
    start: int  # offsets in the UTF-8 text
    end: int
    before: str
    after: str

    def plant(self, text: str) -> str:
        raw = text.encode()
        return (raw[: self.start] + self.after.encode() + raw[self.end :]).decode()


class _Finder(ast.NodeVisitor):
    """Walks a file and collects what could be changed where."""

    def __init__(self, text: str) -> None:
        self.raw = text.encode()
        self.offsets = [0]
        for line in self.raw.splitlines(keepends=True):
            self.offsets.append(self.offsets[-1] + len(line))
        self.faults: list[Fault] = []
        self.names: list[str] = []
        self.statement: ast.stmt | None = None

    def add(self, operator: str, node: ast.expr | ast.stmt, after: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.offsets[node.lineno - 1] + node.col_offset
        end = self.offsets[node.end_lineno - 1] + node.end_col_offset
        holder = self.statement or node
        body = getattr(holder, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) else (holder.end_lineno or 0)
        if isinstance(holder, ast.FunctionDef):  # a default: any test that calls the function
            last = holder.end_lineno or 0
        before = self.raw[start:end].decode()
        if "\n" in after or isinstance(node, ast.stmt) or after.isidentifier():
            text = after
        else:
            text = after if after[0].isdigit() else f"({after})"
        function = ".".join(self.names)
        first = holder.lineno
        fault = Fault(operator, function, first, max(first, last), start, end, before, text)
        self.faults.append(fault)

    def swap(self, operator: str, node: ast.expr, **changes: object) -> None:
        other = copy.copy(node)
        for name, value in changes.items():
            setattr(other, name, value)
        self.add(operator, node, ast.unparse(other))

    def generic_visit(self, node: ast.AST) -> None:
        outer = self.statement
        if isinstance(node, ast.stmt):
            self.statement = node
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "type_comment", "decorator_list", "bases"}:
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    self.visit(part)
        self.statement = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.append(node.name)
        self.generic_visit(node)
        self.names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in SILENT:
            return
        self.visit_ClassDef(node)  # type: ignore[arg-type]

    def visit_Import(self, node: ast.AST) -> None:
        """Leave alone."""

    visit_ImportFrom = visit_JoinedStr = visit_Import

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        self.negate(node)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.swap("branches", node, body=node.orelse, orelse=node.body)
        self.generic_visit(node)

    def negate(self, node: ast.If) -> None:
        """Swap the branches: what is done if the test holds is done if it does not."""
        outer, self.statement = self.statement, node
        self.add("branches", node.test, f"not ({ast.unparse(node.test)})")
        self.statement = outer

    def visit_Compare(self, node: ast.Compare) -> None:
        for i, one in enumerate(node.ops):
            for other in COMPARISONS[type(one)]:
                self.swap("comparison", node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = [part for part in (node.left, node.right) if isinstance(part, ast.JoinedStr)]
        if type(node.op) in ARITHMETIC and not texts:
            self.swap("arithmetic", node, op=ARITHMETIC[type(node.op)]())
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.swap("and-or", node, op=other)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
            kind = "not" if isinstance(node.op, ast.Not) else "sign"
            self.add(kind, node, ast.unparse(node.operand))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.add("constant", node, str(not value))
        elif isinstance(value, int):
            self.add("boundary", node, str(value + 1))
            self.add("boundary", node, str(value - 1))
        elif isinstance(value, float):
            self.add("constant", node, repr(2 * value if value else 1.0))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name in MESSAGES or (name or "").endswith(("Error", "Warning", "Parameter", "Option")):
            return
        for i in range(len(node.keywords)):
            if node.keywords[i].arg is not None:
                rest = [*node.keywords[:i], *node.keywords[i + 1 :]]
                self.swap("argument", node, keywords=rest)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            outer, self.statement = self.statement, node
            self.add("return", node.value, "None")
            self.statement = outer
        self.generic_visit(node)

    def remove(self, node: ast.stmt) -> None:
        outer, self.statement = self.statement, node
        self.add("removal", node, "pass")
        self.statement = outer

    def visit_Expr(self, node: ast.Expr) -> None:
        self.generic_visit(node)
        called = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else "help"
        if called.rsplit(".", 1)[-1] not in MESSAGES:
            self.remove(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.remove(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.remove(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = {ast.unparse(target) for target in node.targets}
        if names & {"__all__", "__slots__"}:
            return
        if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
            self.remove(node)
        self.generic_visit(node)


def faults(text: str) -> list[Fault]:
    """Every fault that may be planted in a file."""
    finder = _Finder(text)
    finder.visit(ast.parse(text))
    return finder.faults


def changes(text: str, fault: Fault) -> bool:
    """Whether the file can still be read, and then means something else."""
    try:
        changed = ast.parse(fault.plant(text))
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(text))
