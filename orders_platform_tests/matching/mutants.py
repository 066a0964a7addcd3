"""Breaks the matching rules on purpose, one small change at a time, so that tests of the tests can count what notices.

A mutant is one operator, bound, condition or number of a module's functions changed. It lives in the functions' code
objects, so that every other module that imported them is broken as well, and is undone at the end of the `with` block.
"""

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

_COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
_CALLS = {"min": "max", "any": "all"}


class Mutant(NamedTuple):
    """One change: the module, the change's number in it, the line and what is changed there."""

    module: ModuleType
    number: int
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module.__name__.rpartition('.')[2]}:{self.line}: {self.text}"


class _Changer(ast.NodeTransformer):
    """Counts every change that could be made inside functions, and makes the one with the wanted number."""

    def __init__(self, source: str, wanted: int | None) -> None:
        self.lines = source.splitlines()
        self.wanted = wanted
        self.seen: list[tuple[int, str]] = []
        self.inside = 0

    def _function(self, node: Any) -> ast.AST:
        self.inside += 1
        self.generic_visit(node)
        self.inside -= 1
        return node

    visit_FunctionDef = visit_Lambda = _function  # noqa: N815

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node  # defaults are no part of a function's code object

    def _change(self, node: Any, what: str, changed: ast.AST) -> ast.AST:
        if not self.inside:
            return node
        self.seen.append((node.lineno, what))
        return ast.copy_location(changed, node) if len(self.seen) - 1 == self.wanted else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        result: ast.AST = node
        for other in _COMPARISONS[type(node.ops[0])]:
            what = f"{ast.unparse(node)} with {other.__name__}"
            result = self._change(result, what, ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators))
        return result

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Add | ast.Sub):
            return node
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return self._change(node, f"{ast.unparse(node)} with the other sign", ast.BinOp(node.left, other, node.right))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return self._change(node, f"{ast.unparse(node)} reversed", ast.AugAssign(node.target, other, node.value))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.values[-1], ast.Constant):
            return node  # `amount or 0`: a default, not a condition
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return self._change(node, f"{ast.unparse(node)} with the other word", ast.BoolOp(other, node.values))

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        never = ast.If(ast.Constant(value=False), node.body, node.orelse)
        return self._change(node, f"if {ast.unparse(node.test)} never", never)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id not in _CALLS:
            return node
        other = ast.copy_location(ast.Name(_CALLS[node.func.id], ast.Load()), node)
        return self._change(node, f"{ast.unparse(node)} with {other.id}", ast.Call(other, node.args, node.keywords))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is not int:
            return node
        where = self.lines[node.lineno - 1].strip()
        return self._change(node, f"{node.value} becomes {node.value + 1} in {where}", ast.Constant(node.value + 1))


def mutants(module: ModuleType) -> list[Mutant]:
    """Return every mutant of a module's functions."""
    source = inspect.getsource(module)
    counter = _Changer(source, None)
    counter.visit(ast.parse(source))
    return [Mutant(module, number, line, text) for number, (line, text) in enumerate(counter.seen)]


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """Run the block with one mutant in place of the rules."""
    source = inspect.getsource(mutant.module)
    changed = ast.fix_missing_locations(_Changer(source, mutant.number).visit(ast.parse(source)))
    namespace: dict[str, Any] = {"__name__": mutant.module.__name__}
    # The product's own source with one operator changed.
    exec(compile(changed, mutant.module.__file__ or "", "exec"), namespace)
    before = _functions(vars(mutant.module), mutant.module.__name__)
    after = _functions(namespace, mutant.module.__name__)
    originals: list[CodeType] = [function.__code__ for function in before]
    try:
        for function, replacement in zip(before, after, strict=True):
            function.__code__ = replacement.__code__
        yield
    finally:
        for function, original in zip(before, originals, strict=True):
            function.__code__ = original


def _functions(names: dict[str, Any], module_name: str) -> list[FunctionType]:
    """Return the functions that a module defines, those in its tables included, always in the same order."""
    found: list[FunctionType] = []
    for value in names.values():
        values = [part for row in value for part in row] if isinstance(value, tuple) else [value]
        found += [each for each in values if isinstance(each, FunctionType) and each.__module__ == module_name]
    return found
