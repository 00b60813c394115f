"""Finds calls in workflow bodies that would answer differently on replay, from the source text alone.

A workflow function runs again from its start after every wait and every crash, and only steps are answered from the
record. So a workflow body must not itself ask the clock, draw random numbers, or touch files, processes and the
network. Functions of the same file that a workflow calls are part of its body; step functions are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import flowctl
from flowctl.core.errors import UsageError
from flowctl.core.lint_rules import FIXES, call_problem, is_path_type

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Finding:
    """One call that is not replay-safe. `call` is its dotted name, `fix` a sentence for its author."""

    path: str
    line: int
    column: int
    workflow: str
    call: str
    fix: str


def lint(source: str, path: str) -> list[Finding]:
    """Return what is not replay-safe in the workflow bodies of a file, by line; each call once.

    Raises UsageError when the text is not Python.
    """
    module = _Module(_parse(source, path), path)
    found: dict[tuple[int, int], Finding] = {}
    for function in module.workflows():
        for finding in module.check(function):
            found.setdefault((finding.line, finding.column), finding)
    return [found[place] for place in sorted(found)]


def _parse(source: str, path: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno or 1}: SyntaxError: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path} cannot be parsed: {error}") from None


class _Module:
    """A parsed file: what its names stand for, and its functions."""

    def __init__(self, tree: ast.Module, path: str) -> None:
        self.path = path
        self.imports = _imports(tree.body)
        self.functions = {node.name: node for node in tree.body if isinstance(node, Function)}

    def workflows(self) -> list[Function]:
        """Return the functions under @workflow."""
        return [node for node in self.functions.values() if self.decorated(node, "flowctl.workflow")]

    def decorated(self, node: Function, name: str) -> bool:
        """Tell whether a decorator of the function is that name of flowctl, with or without options."""
        callees = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
        return any(_dotted(callee, self.imports) == name for callee in callees)

    def check(self, workflow: Function) -> Iterator[Finding]:
        """Yield what is found in the workflow's body and in the functions of this file that it calls."""
        pending, seen = [workflow], {workflow.name}
        while pending:
            body = _Body(self, pending.pop())
            for call, name in body.calls():
                function = self.functions.get(name)
                rule = call_problem(name, call) if function is None else None
                if rule is not None:
                    shown = name.removeprefix("?.")
                    yield Finding(self.path, call.lineno, call.col_offset + 1, workflow.name, shown, FIXES[rule])
                elif function is not None and name not in seen:
                    seen.add(name)
                    if self.is_plain(function):
                        pending.append(function)

    def is_plain(self, node: Function) -> bool:
        """Tell whether a function is neither a step nor a workflow: its body is part of its caller's."""
        return not (self.decorated(node, "flowctl.step") or self.decorated(node, "flowctl.workflow"))


class _Body:
    """One function body: its own imports, its local names, and those of them that hold a Path."""

    def __init__(self, module: _Module, node: Function) -> None:
        self._module = module
        self._nodes = list(_own_nodes(module, node))
        own_imports = _imports(self._nodes)
        self.names = module.imports | own_imports
        arguments = [argument for child in [node, *self._nodes] for argument in _arguments(child)]
        self.local = {argument.arg for argument in arguments} | self._assigned()
        self.local -= own_imports.keys()
        self._paths = {argument.arg for argument in arguments if self._is_path(argument.annotation)}
        self._paths |= self._assigned_paths()

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Yield the calls in this body with the dotted name of what they call."""
        for node in self._nodes:
            if isinstance(node, ast.Call):
                name = self._name(node.func)
                if name:
                    yield node, name

    def _name(self, callee: ast.expr) -> str:
        """Return what is called, as seen from outside: `datetime.datetime.now`, `open`, `pathlib.Path.open`."""
        root = _root(callee)
        if isinstance(callee, ast.Attribute) and self._holds_path(callee.value):
            return f"pathlib.Path.{callee.attr}"
        if isinstance(root, ast.Name) and root.id in self.local:
            return f"?.{callee.attr}" if isinstance(callee, ast.Attribute) else ""
        if isinstance(callee, ast.Attribute) and not isinstance(root, ast.Name):
            return f"?.{callee.attr}"
        return _dotted(callee, self.names)

    def _holds_path(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Name):
            return value.id in self._paths
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div):
            return self._holds_path(value.left)
        return isinstance(value, ast.Call) and is_path_type(_dotted(value.func, self.names))

    def _is_path(self, annotation: ast.expr | None) -> bool:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return is_path_type(self.names.get(annotation.value, annotation.value))
        return annotation is not None and is_path_type(_dotted(annotation, self.names))

    def _assigned(self) -> set[str]:
        stored = (node for node in self._nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
        return {node.id for node in stored}

    def _assigned_paths(self) -> set[str]:
        found: set[str] = set()
        for node in self._nodes:
            if isinstance(node, ast.Assign) and self._holds_path(node.value):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif (
                isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and self._is_path(node.annotation)
            ):
                found.add(node.target.id)
        return found


def _own_nodes(module: _Module, function: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body in source order, without the bodies of steps defined in it."""
    pending: list[ast.AST] = list(reversed(function.body))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, Function) or module.is_plain(node):
            pending += reversed(list(ast.iter_child_nodes(node)))


def _arguments(node: ast.AST) -> list[ast.arg]:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return []
    given = node.args
    rest = [argument for argument in (given.vararg, given.kwarg) if argument is not None]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *rest]


def _imports(nodes: list[ast.AST] | list[ast.stmt]) -> dict[str, str]:
    """Return what imported names stand for: {"dt": "datetime", "now": "flowctl.now"}; `try` blocks included."""
    found: dict[str, str] = {}
    for statement in nodes:
        for node in ast.walk(statement) if isinstance(statement, (ast.Try, ast.If, ast.With)) else [statement]:
            if isinstance(node, ast.Import):
                for name in node.names:
                    found[name.asname or name.name.split(".")[0]] = (
                        name.name if name.asname else name.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for name in _imported_names(node):
                    found[name.asname or name.name] = f"{node.module}.{name.name}"
    return found


def _imported_names(node: ast.ImportFrom) -> list[ast.alias]:
    everything = node.module == "flowctl" and node.names[0].name == "*"
    return [ast.alias(name) for name in flowctl.__all__] if everything else node.names


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return the dotted name of an expression with its first part as imported; '' where it has none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])
