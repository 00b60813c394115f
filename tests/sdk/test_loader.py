"""Importing workflow files, by a real executor process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import ScriptedEngine

EMPTY = "from flowctl import workflow\n@workflow\ndef main() -> None:\n    pass\n"


def sources(engine: ScriptedEngine) -> dict[str, str]:
    """Return the files that were reported, by their path below the engine's folder."""
    return {
        str(Path(message.fields["path"]).relative_to(engine.directory)): message.payload or ""
        for message in engine.of_kind("source")
    }


def error(message: Message) -> str:
    assert message.kind == "load_failed"
    record = json.loads(message.payload or "")
    return f"{record['type']}: {record['message']}"


def test_the_file_and_every_local_module_it_imported_are_reported(engine: ScriptedEngine) -> None:
    engine.write("VALUE = 1\n", "near.py")
    engine.write("from . import inner\n", "package/__init__.py")
    engine.write("import near\n", "package/inner.py")
    engine.write("X = 1\n", "folder/without/init.py")
    engine.write("never imported\n", "other.py")
    for foreign in (".venv/lib/python3/site-packages/lib.py", "site-packages/lib2.py"):
        engine.write("Y = 1\n", foreign)
    source = (
        "import json, sys, os.path\nhere = os.path.dirname(__file__)\n"
        "sys.path += [here + '/.venv/lib/python3/site-packages', here + '/site-packages']\n"
        "import lib, lib2\nimport package.inner, folder.without.init\n" + EMPTY
    )
    assert engine.load(source).kind == "loaded"
    found = sources(engine)
    assert sorted(found) == ["folder/without/init.py", "near.py", "package/__init__.py", "package/inner.py", "wf.py"]
    assert found["near.py"] == "VALUE = 1\n"
    assert found["wf.py"] == source


def test_modules_outside_of_the_files_folder_are_not_reported(engine: ScriptedEngine, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "outer.py").write_text("")
    loaded = engine.load(
        f"import sys; sys.path.append({str(tmp_path / 'lib')!r})\nimport outer\n{EMPTY}", "flows/wf.py"
    )
    assert loaded.kind == "loaded"
    assert list(sources(engine)) == ["flows/wf.py"]


def test_pinned_code_is_imported_whatever_the_disk_says(engine: ScriptedEngine) -> None:
    folder = engine.directory
    engine.write("raise SystemExit('the disk was read')\n", "wf.py")
    engine.write("VALUE = 'disk'\n", "near.py")
    pinned = {
        "wf.py": "import near, gone.deep, gone\nfrom flowctl import workflow\n"
        "@workflow\ndef main() -> list:\n"
        "    return [near.VALUE, gone.deep.VALUE, __file__, near.__file__, gone.deep.__name__]\n",
        "near.py": "VALUE = 'pinned'\n",
        "gone/__init__.py": "",
        "gone/deep.py": "VALUE = 'deep'\n",
    }
    engine.send(
        *(Message("source", {"path": str(folder / name)}, text) for name, text in pinned.items()),
        Message("load", {"path": str(folder / "wf.py"), "pinned": True}),
    )
    assert engine.until("loaded", "load_failed").kind == "loaded"
    assert sources(engine) == pinned
    output = json.loads(engine.run().payload or "")
    assert output == ["pinned", "deep", str(folder / "wf.py"), str(folder / "near.py"), "gone.deep"]


def test_a_traceback_of_pinned_code_shows_the_pinned_lines(engine: ScriptedEngine) -> None:
    path = engine.write("# nothing like it\n" * 9, "wf.py")
    text = "from flowctl import workflow\n@workflow\ndef main() -> None:\n    raise ValueError('pinned line')\n"
    engine.send(Message("source", {"path": str(path)}, text), Message("load", {"path": str(path), "pinned": True}))
    ended = engine.run()
    assert "raise ValueError('pinned line')" in json.loads(ended.payload or "")["traceback"]


@pytest.mark.parametrize(
    ("source", "says", "line"),
    [
        ("x = 1\ndef broken(:\n", "SyntaxError: ", 2),
        ("import math\nimport no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'", 2),
        ("from flowctl import nonsense\n", "ImportError: ", 1),
        ("def f():\n    1 / 0\n\nf()\n", "ZeroDivisionError: division by zero", 2),
        ("import sys\nsys.exit(0)\n", "SystemExit: it called sys.exit(0) while it was imported", 2),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt", 1),
        (
            "from flowctl import step\n@step(retrys=3)\ndef a(): pass\n",
            "DefinitionError: @step a: unknown option",
            None,
        ),
        ("x = '\0'\n", "source code", None),
    ],
)
def test_l01_a_file_that_cannot_be_imported_says_where_and_why(
    engine: ScriptedEngine, source: str, says: str, line: int | None
) -> None:
    failed = engine.load(source)
    assert says in error(failed)
    assert failed.fields["file"] == str(engine.directory / "wf.py")
    if line is not None:
        assert failed.fields["line"] == line


def test_l01_an_error_in_a_local_module_names_that_module(engine: ScriptedEngine) -> None:
    engine.write("ok = 1\n\nboom()\n", "near.py")
    failed = engine.load("import near\n" + EMPTY)
    assert (failed.fields["file"], failed.fields["line"]) == (str(engine.directory / "near.py"), 3)


@pytest.mark.parametrize("what", ["missing", "folder", "latin"])
def test_l01_a_file_that_cannot_be_read_is_named(engine: ScriptedEngine, what: str) -> None:
    path = engine.directory / "wf.py"
    if what == "folder":
        path.mkdir()
    elif what == "latin":
        path.write_bytes(b"name = 'caf\xe9'\n")
    engine.send(Message("load", {"path": str(path), "pinned": False}))
    failed = engine.until("loaded", "load_failed")
    expected = {"missing": f"there is no file {path}", "folder": "directory", "latin": "encoding"}[what]
    assert expected in error(failed)
    assert failed.fields["file"] == str(path)


@pytest.mark.parametrize(
    "source",
    [
        b"# coding: latin-1\n\nWORD = 'caf\xe9'\n",
        b"#!/usr/bin/env python\n# -*- coding: latin-1 -*-\nWORD = 'caf\xe9'\n",
        b"\xef\xbb\xbfWORD = 'caf\xc3\xa9'\n",
        b"WORD = 'caf\xc3\xa9'\r\n",
        b"WORD = 'caf\xc3\xa9'\n",
    ],
    ids=["declared", "declared in the second line", "byte order mark", "lines of Windows", "plain"],
)
def test_a_file_has_the_encoding_that_it_declares(engine: ScriptedEngine, source: bytes) -> None:
    body = b"from flowctl import workflow\n\n@workflow\ndef main() -> str:\n    return WORD\n"
    path = engine.directory / "wf.py"
    path.write_bytes(source + (body.replace(b"\n", b"\r\n") if b"\r" in source else body))
    engine.send(Message("load", {"path": str(path), "pinned": False}))
    assert engine.until("loaded", "load_failed").kind == "loaded"
    text = next(message.payload or "" for message in engine.of_kind("source"))
    assert "WORD = 'caf\N{LATIN SMALL LETTER E WITH ACUTE}'\n" in text
    assert "\r" not in text
    engine.start()
    assert (engine.until("ended").payload or "") == '"caf\N{LATIN SMALL LETTER E WITH ACUTE}"'


def test_l12_two_workflows_of_one_name_are_refused_naming_both(engine: ScriptedEngine) -> None:
    failed = engine.load("""
        from flowctl import workflow

        @workflow(name="daily")
        def first() -> None:
            pass

        @workflow(name="daily")
        def second() -> None:
            pass
    """)
    assert 'two workflows are named "daily": first (line 4) and second (line 8)' in error(failed)


def test_l12_a_workflow_that_replaces_another_of_its_function_name_is_refused(engine: ScriptedEngine) -> None:
    failed = engine.load("""
        from flowctl import workflow

        @workflow
        def main() -> int:
            return 1

        @workflow
        def main() -> int:
            return 2
    """)
    assert 'two workflows are named "main": main (line 5) and main (line 9)' in error(failed)


def test_only_the_files_own_workflows_are_described(engine: ScriptedEngine) -> None:
    engine.write(EMPTY.replace("main", "imported"), "near.py")
    loaded = engine.load("from near import imported\n" + EMPTY + "also_main = main\n")
    assert [workflow["name"] for workflow in loaded.fields["workflows"]] == ["main"]


def test_the_main_block_of_a_file_does_not_run(engine: ScriptedEngine) -> None:
    assert engine.load(EMPTY + "if __name__ == '__main__':\n    raise SystemExit(1)\n").kind == "loaded"


def test_what_a_file_prints_when_it_is_imported_is_captured(engine: ScriptedEngine) -> None:
    engine.load("print('importing')\n" + EMPTY)
    assert engine.text("stdout", None) == "importing\n"
    assert engine.raw_output() == b""


def test_dataclasses_and_pickles_of_the_file_work(engine: ScriptedEngine) -> None:
    ended = engine.run("""
        import pickle
        from dataclasses import dataclass
        from typing import Optional
        from flowctl import step, workflow

        @dataclass
        class Point:
            x: int
            next: "Optional[Point]" = None

        @step
        def move(point: Point) -> Point:
            return pickle.loads(pickle.dumps(Point(point.x + 1, point)))

        @workflow
        def main() -> Point:
            return move(Point(1))
    """)
    assert ended.payload == '{"x":2,"next":{"x":1,"next":null}}'


@pytest.mark.parametrize("name", ["json.py", "my-flow.py", "class.py", "flowctl.py", "2024 report.py", "types.py"])
def test_a_file_may_have_any_name(engine: ScriptedEngine, name: str) -> None:
    assert engine.load("import json\n" + EMPTY + "assert json.dumps([]) == '[]'\n", name).kind == "loaded"
    assert engine.run().fields["state"] == "succeeded"


def test_a_sibling_can_import_the_workflow_file_by_name(engine: ScriptedEngine) -> None:
    engine.write("def value():\n    import wf\n    return wf.NUMBER\n", "near.py")
    ended = engine.run("""
        import near
        from flowctl import workflow
        NUMBER = 5

        @workflow
        def main() -> int:
            return near.value()
    """)
    assert ended.payload == "5"


def test_the_first_entry_of_the_path_is_the_files_folder(engine: ScriptedEngine) -> None:
    ended = engine.run(
        "import sys\nfrom flowctl import workflow\n@workflow\ndef main() -> list:\n    return sys.path\n", "main"
    )
    path = json.loads(ended.payload or "")
    assert path[0] == str(engine.directory)
    assert len(path) == len(set(path))


def test_a_module_imported_late_still_comes_from_the_files_folder(engine: ScriptedEngine) -> None:
    engine.write("VALUE = 3\n", "late.py")
    ended = engine.run("""
        from flowctl import step, workflow

        @step
        def work() -> int:
            import late
            return late.VALUE

        @workflow
        def main() -> int:
            return work()
    """)
    assert ended.payload == "3"


def test_no_bytecode_is_written_beside_the_users_files(engine: ScriptedEngine) -> None:
    engine.write("", "near.py")
    engine.load("import near\n" + EMPTY)
    assert sorted(path.name for path in engine.directory.iterdir()) == ["near.py", "wf.py"]


def test_a_shell_command_needs_no_file(engine: ScriptedEngine) -> None:
    engine.send(Message("load", {"path": "", "pinned": False}))
    (workflow,) = engine.until("loaded").fields["workflows"]
    assert workflow["name"] == "exec"
    ended = engine.run(function="", input={"argv": ["echo", "a b"]})
    assert ended.payload == '{"exit_code":0,"stdout":"a b\\n","stderr":""}'
    assert (engine.keys(), engine.of_kind("step")[0].fields["kind"]) == (["echo"], "shell")
    assert engine.run(function="", input={"command": "exit 4"}).fields["state"] == "failed"


@pytest.mark.skipif(sys.platform != "linux", reason="finds the interpreters that were put there for this")
def test_the_file_may_import_what_only_its_interpreter_has(engine: ScriptedEngine, tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "own", with_pip=False)
    site = next((tmp_path / "own" / "lib").glob("python*/site-packages"))
    (site / "only_there.py").write_text("VALUE = 'own'\n")
    with ScriptedEngine(tmp_path, python=str(tmp_path / "own" / "bin" / "python")) as own:
        ended = own.run(
            "import only_there\nfrom flowctl import workflow\n"
            "@workflow\ndef main() -> str:\n    return only_there.VALUE\n"
        )
        assert ended.payload == '"own"'
