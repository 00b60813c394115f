"""The hash of a step's definition: what changes it, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowctl.sdk import source
from flowctl.sdk.definition import step

BASE = "def fetch(url, depth=1):\n    return url * depth\n"


def load(text: str, filename: str = "/nowhere/flow.py", name: str = "fetch") -> Any:
    source.remember(filename, text)
    names: dict[str, Any] = {"step": step}
    exec(compile(text, filename, "exec"), names)  # noqa: S102  # as the loader does
    return names[name]


def hash_of(text: str) -> bytes | None:
    return source.source_hash(load(text))


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        "\n\n# a comment\n" + BASE,
        "def fetch(url,   depth = 1):\n    # why\n    return (url\n        * depth)\n",
        'def fetch(url, depth=1):\n    """Get it."""\n    return url * depth\n',
        "def other(): pass\n" + BASE + "def later(): pass\n",
        "from functools import lru_cache\n@lru_cache\n@lru_cache(5)\n" + BASE,
    ],
)
def test_comments_formatting_docstring_decorators_and_neighbours_do_not_count(text: str) -> None:
    assert source.source_hash(load(BASE)) == source.source_hash(_inner(text))


def _inner(text: str) -> Any:
    function = load(text)
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


@pytest.mark.parametrize(
    "text",
    [
        "def fetch(url, depth=2):\n    return url * depth\n",
        "def fetch(url, depth=1):\n    return depth * url\n",
        "def fetch(url, depth=1, more=None):\n    return url * depth\n",
        "async def fetch(url, depth=1):\n    return url * depth\n",
        "def fetch(url: str, depth=1):\n    return url * depth\n",
        "def fetch(url, depth=1):\n    print(1)\n    return url * depth\n",
        "def fetch(url, depth=True):\n    return url * depth\n",
    ],
)
def test_every_change_of_the_definition_counts(text: str) -> None:
    assert hash_of(BASE) != hash_of(text)


def test_the_hash_is_the_same_in_every_python() -> None:
    text = """
def fetch(url: "str", /, *rest, depth=-1.5, **more) -> "dict[str, int]":
    with open(url) as file, open("x"):
        async def inner(): yield f"{url!r:>{depth}} and {more['a']}"
    try:
        value = [one for one in rest if (two := one) and not two] or {**more, "b": b"x", "c": ...}
        lambda: (yield)
    except (OSError, ValueError) as error:
        raise KeyError(url) from error
    finally:
        del value
    return value[1:, ::2] if depth else None
"""
    digest = hash_of(text)
    assert digest is not None
    assert "33636e77878b8e5fcd027abfe95b1e6c" == digest.hex()


def test_what_was_loaded_counts_not_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text("nonsense(")
    assert hash_of(BASE) == source.source_hash(load(BASE, str(file)))


def test_a_file_that_the_loader_did_not_name_is_read_from_disk(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(BASE)
    names: dict[str, Any] = {}
    exec(compile(BASE, str(file), "exec"), names)  # noqa: S102  # as the loader does
    assert hash_of(BASE) == source.source_hash(names["fetch"])


def test_functions_of_one_name_are_told_apart() -> None:
    text = "def fetch():\n    return 1\nfirst = fetch\ndef fetch():\n    return 2\n"
    one, other = load(text, name="first"), load(text)
    assert source.source_hash(one) != source.source_hash(other)


def test_without_source_there_is_no_hash() -> None:
    names: dict[str, Any] = {}
    exec("def made(): pass", names)  # noqa: S102  # as the loader does
    assert source.source_hash(names["made"]) is None
    assert source.source_hash(len) is None
    assert step(name="len")(len).source_hash is None


def test_a_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    monkeypatch.setattr(source, "_text_of", lambda filename: parsed.append(filename) or BASE)
    source._definitions.pop("/nowhere/once.py", None)
    names: dict[str, Any] = {}
    exec(compile(BASE, "/nowhere/once.py", "exec"), names)  # noqa: S102  # as the loader does
    assert source.source_hash(names["fetch"]) == source.source_hash(names["fetch"])
    assert ["/nowhere/once.py"] == parsed


def test_a_step_tells_its_hash_in_hex() -> None:
    decorated = load("@step(retries=3)\n" + BASE)
    plain = hash_of(BASE)
    assert plain is not None
    load("@step(retries=3)\n" + BASE)
    assert plain.hex() == decorated.source_hash == decorated.with_options(retries=1).source_hash
