"""The source text of the code that is loaded, and the hash of a function's definition.

The loader says which text it compiled (`remember`), because by now the file on disk may say something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional

from flowctl.sdk.jsontext import hash_of_plain

_PARSE_ONLY = 0x400  # ast.PyCF_ONLY_AST, without the cost of importing ast

_texts: dict[str, str] = {}
_definitions: dict[str, dict[tuple[str, int], Any]] = {}


def remember(filename: str, text: str) -> None:
    """Take this text as the source of code whose file name is this."""
    _texts[filename] = text
    _definitions.pop(filename, None)


def line_of(filename: str, number: int) -> str:
    """Return one line of a source file, counted from 1; '' when there is no such line."""
    text = _texts.get(filename)
    if text is None:
        import linecache

        return linecache.getline(filename, number)
    lines = text.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""


def source_hash(function: Callable[..., Any]) -> Optional[bytes]:
    """Return 16 bytes that change when the definition of the function changes, or None when its source is unknown.

    Comments, formatting, decorators and the docstring do not count.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    try:
        definition = _definitions_in(code.co_filename).get((code.co_name, code.co_firstlineno))
        return None if definition is None else _hash(definition)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def definitions(text: str) -> Iterator[tuple[str, range, bytes]]:
    """Yield the functions of a source text: name, lines, and hash as `source_hash` returns it. Raises SyntaxError."""
    tree = compile(text, "<source>", "exec", _PARSE_ONLY, dont_inherit=True)
    for (name, first), node in _functions(tree):
        yield name, range(first, node.end_lineno + 1), _hash(node)


def _hash(definition: Any) -> bytes:
    return hash_of_plain("".join(_words(definition, top=True)))


def _definitions_in(filename: str) -> dict[tuple[str, int], Any]:
    """Return the function definitions of a file by name and first line, the decorators' line included."""
    known = _definitions.get(filename)
    if known is None:
        tree = compile(_text_of(filename), filename, "exec", _PARSE_ONLY, dont_inherit=True)
        known = _definitions[filename] = dict(_functions(tree))
    return known


def _text_of(filename: str) -> str:
    text = _texts.get(filename)
    if text is None:
        import linecache

        text = "".join(linecache.getlines(filename))
        if not text:
            raise OSError(f"no source of {filename}")
    return text


def _functions(node: Any) -> Iterator[tuple[tuple[str, int], Any]]:
    pending = [node]
    while pending:
        node = pending.pop()
        kind = type(node).__name__
        if kind in ("FunctionDef", "AsyncFunctionDef"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield (node.name, first), node
        elif kind == "Lambda":
            yield ("<lambda>", node.lineno), node
        pending.extend(_children(node))


def _children(node: Any) -> Iterator[Any]:
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            yield from (item for item in value if hasattr(item, "_fields"))
        elif hasattr(value, "_fields"):
            yield value


def _words(node: Any, top: bool = False) -> Iterator[str]:
    """Yield a syntax tree as text that is the same in every Python version: what is empty is left out."""
    yield f"({type(node).__name__}"
    for name in node._fields:
        value = getattr(node, name, None)
        if (value is None and type(node).__name__ != "Constant") or name in ("kind", "type_comment"):
            continue
        if top and name in ("decorator_list", "name"):
            continue
        if top and name == "body" and isinstance(value, list) and _is_docstring(value[0]):
            value = value[1:]
        if type(node).__name__ == "JoinedStr" and isinstance(
            value, list
        ):  # early 3.12 adds empty pieces to nested format specs
            value = [item for item in value if getattr(item, "value", None) != ""]
        if value == []:
            continue
        yield f" {name}="
        if isinstance(value, list):
            for item in value:
                yield from _words(item) if hasattr(item, "_fields") else (repr(item), ",")
        else:
            yield from _words(value) if hasattr(value, "_fields") else (repr(value),)
    yield ")"


def _is_docstring(statement: Any) -> bool:
    value = getattr(statement, "value", None)
    return type(statement).__name__ == "Expr" and isinstance(getattr(value, "value", None), str)
