"""What must never reach the file, and what in the file must never run."""

from __future__ import annotations

import ast
import base64
import os
import pickle
import sqlite3
import zlib
from contextlib import closing, suppress
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowctl.core.config import default_database
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

# Assembled, so that neither this file nor the snapshot of a workflow's source holds them in one piece.
ENV = "".join(["Canary/", "of+the ", 'host"s', " environ"])
FILE = "-".join(["canary", "of", "the", "env", "file"])
PARAMETER = "_".join(["canary", "parameter", "é"])
WORDS = [ENV, FILE, PARAMETER]

SECRETS = """
import logging, multiprocessing, urllib.parse

FILE = secret("FROM_FILE")
os.write(1, ("at import " + FILE + "\\n").encode())

def parts(value, size):
    return [value[at:at + size] for at in range(0, len(value), size)]

@step
def prints(way: str) -> None:
    value = secret("FROM_HOST")
    print("printed", value)
    print("repr", repr(str(value)))
    for part in parts(str(value), 3):
        sys.stdout.write(part)
        sys.stdout.flush()
        time.sleep(0.012)
    print()
    sys.stderr.write(value[:5])
    print("between")
    sys.stderr.write(value[5:] + "\\n")
    logging.warning("logged %s", value)
    sys.stdout.buffer.write(value.encode() + b"\\n")

@step
def children(way: str) -> None:
    value = secret("FROM_HOST")
    pieces = parts(str(value), 4)
    code = "import os, sys, time\\nfor p in sys.argv[1:]:\\n    os.write(1, p.encode()); time.sleep(0.01)"
    subprocess.run([sys.executable, "-c", code, *pieces, "\\n"])
    subprocess.run([sys.executable, "-c", "import sys; print('to stderr', sys.argv[1], file=sys.stderr)", value])
    subprocess.run(["echo", FILE])
    os.write(1, b"raw " + value.encode() + b"\\n")
    os.write(2, value[:6].encode())
    os.write(2, value[6:].encode() + b"\\n")
    child = os.fork()
    if not child:
        print("forked", value, flush=True)
        os._exit(0)
    os.waitpid(child, 0)

@step
def urls(url: str) -> dict:
    return {"url": url, "quoted": urllib.parse.quote(url), url: "as a key", "path": url.split("@")[0]}

@step(retries=1, backoff="1ms")
def fails(value: str) -> None:
    try:
        raise KeyError(value)
    except KeyError:
        raise RuntimeError(f"no access with {value} at https://u:{urllib.parse.quote(value, safe='')}@h")

@step(sensitive=("password", "more"))
def login(user: str, password: str, more: dict) -> str:
    print(user, password, more)
    subprocess.run(["echo", password])
    return f"{user}:{password}"

@workflow
def main(token: str) -> dict:
    note(f"really {token == os.environ.get('NONE', str(secret('FROM_HOST')))}")
    prints("a")
    children("b")
    print("in the workflow", token)
    made = urls(f"https://user:{token}@host/?q={FILE}")
    sh(["echo", token, f"x{FILE}x"], env={"T": str(token)}, input=str(token))
    sh(f"echo {FILE}; cat", input=token)
    password = "_".join(["canary", "parameter", "\\xe9"])
    said = login(f"ann-{password}", password, {"again": password})
    try:
        fails(token)
    except StepFailed as failure:
        note(f"caught {str(token) in str(failure)}")
    if (HERE / "fail").exists():
        raise ValueError(f"at last {token} {FILE} {password}")
    return {"made": made, "said": said, "token": token}
"""


def _files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / ".xdg").rglob("*") if path.is_file()]


def _leaks(tmp_path: Path) -> list[str]:
    from urllib.parse import quote, quote_plus

    found = []
    for word in WORDS:
        raw = word.encode()
        escaped = word.encode("unicode_escape")
        forms = {raw, escaped, quote(word).encode(), quote(word, safe="").encode(), quote_plus(word).encode()}
        forms |= {raw.replace(b'"', b'\\"'), base64.b64encode(raw)}
        for path in _files(tmp_path):
            content = path.read_bytes()
            found += [f"{form!r} in {path.name}" for form in forms if form in content]
    return found


def test_n04_a_secret_is_never_in_the_file_and_never_on_the_screen(bench: Bench, tmp_path: Path) -> None:
    bench.write("wf.py", SECRETS)
    (tmp_path / "env").write_text(f"FROM_FILE={FILE}\n")
    words = ["run", "wf.py", "--env-file", "env", "--input", '{"token": {"$secret": "FROM_HOST"}}']
    screens = [bench.flowctl(*words, FROM_HOST=ENV)]
    assert [] == _leaks(tmp_path)
    (tmp_path / "fail").touch()
    screens.append(bench.flowctl(*words, FROM_HOST=ENV, code=1))
    assert [] == _leaks(tmp_path)
    screens += [bench.flowctl(*more) for more in (["show", "1", "--json"], ["logs", "2"], ["show", "2"])]
    text = "".join(screen.stdout + screen.stderr for screen in screens)
    for word in WORDS:
        assert word not in text
    assert ["really True", "caught False"] * 2 == bench.ledger()
    shown = ("printed ***", "between", "logged ***", "to stderr ***", "raw ***", "forked ***", "ann-*** ***", "x***x")
    for line in shown:
        assert line in text, line
    assert {"$secret": "FROM_HOST"} == bench.shown()["input"]["token"] == bench.shown()["output"]["token"]
    assert {"$sensitive": True} == bench.shown()["by_key"]["login"]["input"]["password"]
    run = bench.run_of(2)
    assert run is not None
    assert '"message": "at last *** *** ***"' in (run.error or "")


def test_n04_two_branches_may_ask_for_one_secret_at_once(bench: Bench) -> None:
    bench.write(
        "wf.py",
        """
        @step
        def use(number: int) -> int:
            time.sleep(0.02)
            return len(secret("FROM_HOST")) + len(secret(f"OTHER{number % 2}"))

        @workflow
        def main() -> list:
            return gather(*[use.bind(number) for number in range(12)], concurrency=12)
        """,
    )
    said = bench.flowctl("run", "wf.py", FROM_HOST=ENV, OTHER0="zero", OTHER1="one-one")
    assert [len(ENV) + 4, len(ENV) + 7] * 6 == said.json


class _Touch:
    """What a pickle of somebody else would be: code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def _plants(canary: Path) -> list[str]:
    code = pickle.dumps(_Touch(canary), protocol=0)
    return [
        code.decode("latin-1"),
        base64.b64encode(code).decode(),
        f'!!python/object/apply:os.system ["touch {canary}"]',
        f"__import__('os').system('touch {canary}')",
        f"$(touch {canary}); `touch {canary}`",
    ]


def _plant(path: str, plants: list[str]) -> set[str]:
    """Write the texts into every column of every row that takes one; return the columns."""
    planted = set()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        db.execute("PRAGMA foreign_keys = OFF")
        texts = cycle(plants)
        db.create_function("pick", 0, lambda: next(texts))
        db.execute("BEGIN")
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        ours = (
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'search*'"  # an index without text
        )
        tables = [row[0] for row in db.execute(ours)]
        for table in tables:
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if kind in ("TEXT", "BLOB") and table != "meta" and not table.startswith("sqlite_"):
                    planted |= {f"{table}.{column}"} if _fill(db, table, column, kind) else set()
        _make_plausible(db)
        for _, sql in triggers:
            db.execute(sql)
        db.execute("COMMIT")
    return planted


def _make_plausible(db: sqlite3.Connection) -> None:
    """Let the rows be found, and their checksums agree: a reader that refuses all of it would prove nothing."""
    db.execute("UPDATE runs SET namespace = 'default' WHERE id < 3")
    db.execute("UPDATE workflows SET namespace = 'default'")
    for table in ("runs", "workflows"):
        db.execute(f"UPDATE {table} SET code = (SELECT code FROM snapshots)")
    db.create_function("crc", 1, lambda text: None if text is None else zlib.crc32(text.encode()))
    for table, names in (("runs", ("input", "output", "error")), ("steps", ("input", "output", "error"))):
        for name in names:
            db.execute(f"UPDATE {table} SET {name}_crc = crc({name})")
    db.execute("UPDATE attempts SET error_crc = crc(error)")


def _fill(db: sqlite3.Connection, table: str, column: str, kind: str) -> bool:
    """Put the next text into every row of a column, as it is or as JSON; tell whether the column takes it."""
    forms = ("pick()", "json_object('$payload', pick(), 'files', pick())", "json_quote(pick())", "json_array(pick())")
    for form in ("CAST(pick() AS BLOB)",) if kind == "BLOB" else forms:
        with suppress(sqlite3.IntegrityError, sqlite3.OperationalError):  # a CHECK, or an index over JSON
            if db.execute(f"UPDATE {table} SET {column} = {form} WHERE {column} IS NOT NULL").rowcount:
                return True
    return False


READS: list[tuple[str, ...]] = [
    ("ls",),
    ("ls", "--json", "--search", "system"),
    ("show", "1"),
    ("show", "1", "--json"),
    ("show", "2", "1"),
    ("logs", "1"),
    ("workflows", "list", "--json"),
    ("db", "check"),
    ("retry", "2", "--same-code"),
    ("resume", "3"),
    ("rerun", "1", "--same-code"),
]


def test_n08_what_is_planted_in_any_column_runs_nowhere(flowctl: Any, tmp_path: Path) -> None:
    """The rows hold texts that some other program would have unpickled, loaded as YAML, or evaluated."""
    path = tmp_path / "wf.py"
    path.write_text(
        "from flowctl import step, workflow\n"
        "@step\ndef work(x: str) -> str:\n    print(x)\n    return str(1 / int(x))\n"
        "@workflow\ndef main(x: str) -> str:\n    return work(x)\n"
    )
    flowctl("workflows", "add", "wf.py")
    flowctl("run", "main", "x:='1'".replace("'", '"'))
    flowctl("run", "main", 'x:="0"', code=1)
    flowctl("run", "main", 'x:="1"', "--detach", "--key", "k", "--tag", "a=b")
    canary = tmp_path / "executed"
    planted = _plant(default_database(os.environ), _plants(canary))
    assert {"runs.input", "runs.output", "steps.output", "attempts.error", "logs.text", "sources.text"} <= planted
    assert {"workflows.parameters", "runs.options", "snapshots.files", "events.reason", "runs.tags"} <= planted
    assert len(planted) > 40
    for words in READS:
        flowctl(*words, code=None)  # whatever it answers, it is no traceback
        assert not canary.exists(), words


FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "yaml", "dill", "cloudpickle", "code", "copyreg"}
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "execfile"}


@pytest.mark.parametrize("path", sorted((ROOT / "flowctl").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_n08_no_module_can_run_data(path: Path) -> None:
    """Only the loader executes code, and only that of workflow files."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [node.module] if (node.module or "").split(".")[0] in FORBIDDEN_MODULES else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(node.func.id)
    loader = path == ROOT / "flowctl" / "sdk" / "loader.py"
    assert (["exec"] if loader else []) == found
