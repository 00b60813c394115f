"""Mutants of Python: another comparison, another constant, a statement or a condition left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.mutant import Mutant

_OTHER: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_CHOICES = (ast.If, ast.IfExp, ast.While)


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a module."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line.encode()))
    encoded = source.encode()

    def offset(line: int, column: int) -> int:
        return len(encoded[: lines[line - 1] + column].decode())

    for node in _live(ast.parse(source)):
        for replacement in _replacements(node):
            assert isinstance(node, ast.expr | ast.stmt)
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            start, end = offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
            yield Mutant(path, start, end, replacement, source)


def _live(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that do something: no annotations, docstrings, imports, texts of errors, or assertions."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Assert | ast.JoinedStr | ast.Slice):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from _live(child)


def _replacements(node: ast.AST) -> Iterator[str]:
    """Yield what may stand in place of a node."""
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in _OTHER:
            yield f"({ast.unparse(ast.Compare(left, [_OTHER[type(operator)]()], [right]))})"
        case ast.BoolOp(operator, values):
            yield f"({ast.unparse(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.Constant(bool(value)):
            yield str(not value)
        case ast.Constant(int(value)):
            yield from (str(value + 1), f"({value - 1})")
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Continue() | ast.Break():
            yield "pass"
        case ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield "pass"
        case ast.Return(value) if value is not None and ast.unparse(value) != "None":
            yield "return None"
        case _ if isinstance(node, ast.expr) and hasattr(node, "is_condition"):
            yield f"(not ({ast.unparse(node)}))"
    if isinstance(node, _CHOICES) and not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        node.test.is_condition = True  # type: ignore[attr-defined] # visited next
