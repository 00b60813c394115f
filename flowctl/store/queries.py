"""Named SQL: the blocks of a `.sql` file, loaded once.

A file holds `-- name: xyz` blocks and `-- part: xyz` fragments. `{xyz}` in a block stands for the fragment, so that
a guard or a column list is written once. Other comments are for the reader; `-- plan: …` tells why a block may scan.

A trap: SQLite compiles a statement anew at each execution when a bare parameter meets ORDER BY, min, max or LIMIT
(`run_id = :run … ORDER BY key`), because it might plan otherwise for another value. `+:run` prevents that, and does so
in the blocks that run for every step or every turn of the engine.
"""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.abc import ResourceLoader

_HEADING = re.compile(r"^-- (name|part): (\w+)$\n", re.MULTILINE)
_COMMENT = re.compile(r"^-- .*\n?", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")


def read_data(name: str) -> str:
    """Return the text of a data file of this package, whatever the package was loaded from.

    It asks the module's own loader, as importlib.resources does after 10 ms of imports.
    """
    assert __spec__ is not None
    loader = cast("ResourceLoader", __spec__.loader)
    return loader.get_data(os.path.normpath(os.path.join(os.path.dirname(__file__), name))).decode()


def parse(text: str) -> dict[str, str]:
    """Return the blocks of a `.sql` text by name, with the fragments filled in."""
    _, *pieces = _HEADING.split(text)
    parts: dict[str, str] = {}
    blocks: dict[str, str] = {}
    for heading, name, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        filled = _PART.sub(lambda match: parts[match[1]], _COMMENT.sub("", body).strip())
        (parts if heading == "part" else blocks)[name] = filled
    return blocks


def load(noun: str) -> Mapping[str, str]:
    """Return the named blocks of `<noun>.sql`."""
    return MappingProxyType(parse(read_data(f"{noun}.sql")))
