"""Type hints of functions and classes, resolved one by one: one that cannot be read does not spoil the others."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from typing import Any


def resolve_hints(owner: Any) -> dict[str, Any]:
    """Return the hints of a function or class by name; what cannot be resolved is Any."""
    if isinstance(owner, type):
        found: dict[str, Any] = {}
        for base in reversed(owner.__mro__):
            names = vars(sys.modules.get(base.__module__, typing))
            found.update(_resolved(_own_hints(base), names, dict(vars(base))))
        return found
    while hasattr(owner, "__wrapped__"):
        owner = owner.__wrapped__
    return _resolved(getattr(owner, "__annotations__", {}), getattr(owner, "__globals__", {}), _closure(owner))


def _own_hints(kind: type) -> Mapping[str, Any]:
    hints: Mapping[str, Any]
    if sys.version_info >= (3, 14):  # they are made when asked for
        hints = getattr(kind, "__annotations__", {})
    else:  # not by attribute: a subclass would answer with those of its base
        hints = vars(kind).get("__annotations__", {})
    return hints


def _closure(function: Any) -> dict[str, Any]:
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    found = {}
    for name, cell in zip(code.co_freevars if code else (), cells):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _resolved(hints: Mapping[str, Any], names: Mapping[str, Any], local: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _resolve(hint, names, local) for name, hint in hints.items()}


def _resolve(hint: Any, names: Mapping[str, Any], local: Mapping[str, Any]) -> Any:
    """Return what a hint says. typing does the evaluation: it knows every nesting of forward references."""
    holder = type("holder", (), {"__annotations__": {"hint": hint}})
    for spelling in _spellings(hint):
        holder.__annotations__ = {"hint": spelling}
        try:
            return typing.get_type_hints(holder, dict(names), dict(local), include_extras=True)["hint"]
        except Exception:  # noqa: BLE001  # a hint is code of the author: it may raise anything
            continue
    return Any


def _spellings(hint: Any) -> list[Any]:
    return [hint, _without_bars(hint)] if isinstance(hint, str) and "|" in hint else [hint]


def _without_bars(hint: str) -> str:
    """Return a hint with `X | Y` written as Python 3.9 understands it."""
    import ast

    class Rewrite(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:  # the name ast calls
            self.generic_visit(node)
            if not isinstance(node.op, ast.BitOr):
                return node
            members = ast.Tuple([node.left, node.right], ast.Load())
            union = ast.parse("__import__('typing').Union", mode="eval").body
            return ast.Subscript(union, members, ast.Load())

    try:
        tree = Rewrite().visit(ast.parse(hint, mode="eval"))
    except SyntaxError:
        return hint
    return ast.unparse(ast.fix_missing_locations(tree))
