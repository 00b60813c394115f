"""What a person can do to the file that a workflow stands in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.conftest import Bench

ONE = """
@workflow
def {name}(who: str = "you") -> str:
    note(f"{name} {{who}}")
    return "{name}"
"""


def test_l01_of_five_files_one_is_broken_and_the_others_work(bench: Bench) -> None:
    for name in ("a", "b", "d", "e"):
        bench.write(f"{name}.py", ONE.format(name=name))
    broken = bench.write("c.py", ONE.format(name="c") + "\ndef (:\n")
    line = len(broken.read_text().splitlines())
    for name in ("a", "b", "c", "d", "e"):
        said = bench.flowctl("workflows", "add", f"{name}.py", code=2 if name == "c" else 0)
        if name == "c":
            assert f"{broken}:{line}: SyntaxError: " in said.stderr
            assert 1 == len(said.stderr.strip().splitlines())
    listed = bench.flowctl("workflows", "list", "--json").json
    assert ["a", "b", "d", "e"] == [each["workflow"] for each in listed]
    assert '"d"\n' == bench.flowctl("run", "d").stdout


def test_l01_an_error_in_an_imported_file_is_named_with_that_file_and_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "needed.py").write_text("x = 1\n\nimport no_such_module\n")
    bench.write("wf.py", "import needed\n" + ONE.format(name="main"))
    said = bench.flowctl("run", "wf.py", code=2)
    assert f"{tmp_path / 'needed.py'}:3: ModuleNotFoundError: No module named 'no_such_module'" in said.stderr
    assert bench.run_of(1) is None
    bench.flowctl("run", bench.write("good.py", ONE.format(name="good")))


def test_l02_a_run_whose_file_is_gone_goes_on_and_a_retry_says_what_is_missing(bench: Bench) -> None:
    source = """
    @step
    def work() -> None:
        note("work")
        if not (HERE / "mended").exists():
            raise OSError("not yet")

    @workflow
    def main() -> str:
        work()
        return "done"
    """
    path = bench.write("wf.py", source)
    bench.flowctl("run", "wf.py", "--detach")
    path.unlink()
    bench.flowctl("resume", "1", code=1)  # from the snapshot
    assert ["work"] == bench.ledger()
    said = bench.flowctl("retry", "1", code=4)
    assert f"the file of run 1 is gone: {path}" in said.stderr
    assert "--same-code" in said.stderr
    bench.flowctl("retry", "1", "--same-code", code=1)
    bench.write("wf.py", source)
    bench.write("mended", "")
    assert '"done"\n' == bench.flowctl("retry", "1").stdout


def test_l02_a_run_that_cannot_start_is_blocked_until_its_folder_is_back(bench: Bench, tmp_path: Path) -> None:
    bench.write("wf.py", ONE.format(name="main"))
    folder = tmp_path / "work"
    folder.mkdir()
    bench.flowctl("run", "../wf.py", "--detach", cwd=folder)
    folder.rmdir()
    said = bench.flowctl("resume", "1", code=8)
    assert str(folder) in said.stderr
    run = bench.run_of(1)
    assert run is not None
    assert run.state == "blocked"
    assert str(folder) in (run.reason or "")
    folder.mkdir()
    assert '"main"\n' == bench.flowctl("retry", "1").stdout


def test_l03_a_queued_run_keeps_the_signature_it_was_made_for(bench: Bench) -> None:
    bench.write("wf.py", ONE.format(name="main"))
    bench.flowctl("run", "wf.py", "who=me", "--detach")
    bench.write("wf.py", ONE.format(name="main").replace('who: str = "you"', "whom: int"))
    bench.flowctl("resume", "1")
    assert ["main me"] == bench.ledger()


def test_l03_a_changed_signature_blocks_a_retry_and_names_the_parameters(bench: Bench) -> None:
    failing = ONE.format(name="main").replace('return "main"', 'raise ValueError("no")')
    bench.write("wf.py", failing)
    bench.flowctl("run", "wf.py", "who=me", code=1)
    bench.write("wf.py", ONE.format(name="main").replace('who: str = "you"', "whom: int").replace("{{who}}", "x"))
    said = bench.flowctl("retry", "1", code=8)
    run = bench.run_of(1)
    assert run is not None
    assert run.state == "blocked"
    for text in (said.stderr, run.reason or ""):
        assert "the parameters of main changed" in text
        assert "who" in text
        assert "whom" in text
        assert "TypeError" not in text
    assert ["main me"] == bench.ledger()
    bench.write("wf.py", ONE.format(name="main"))
    assert '"main"\n' == bench.flowctl("retry", "1").stdout


def test_l12_two_workflows_of_one_name_in_a_file_are_refused_with_both_lines(bench: Bench) -> None:
    path = bench.write(
        "wf.py",
        """
        @workflow(name="same")
        def first() -> None: ...

        @workflow(name="same")
        def second() -> None: ...
        """,
    )
    text = path.read_text().splitlines()
    lines = [number for number, line in enumerate(text, 1) if line.startswith('@workflow(name="same")')]
    said = bench.flowctl("run", "wf.py:first", code=2)
    assert 'two workflows are named "same"' in said.stderr
    for name, line in zip(("first", "second"), lines, strict=True):
        assert f"{name} (line {line})" in said.stderr
    assert bench.run_of(1) is None
    bench.flowctl("run", bench.write("good.py", ONE.format(name="good")))


def test_l12_a_name_that_another_file_has_is_refused_with_both_files(bench: Bench) -> None:
    first, second = (bench.write(f"{name}.py", ONE.format(name="digest")) for name in ("first", "second"))
    bench.flowctl("workflows", "add", "first.py")
    said = bench.flowctl("workflows", "add", "second.py", code=5)
    assert "digest" in said.stderr
    assert str(first) in said.stderr
    assert str(second) in said.stderr
    assert str(first) == bench.flowctl("workflows", "show", "digest", "--json").json["path"]
    bench.flowctl("workflows", "add", "first.py")
    bench.flowctl("workflows", "add", "second.py", "--replace")
    assert str(second) == bench.flowctl("workflows", "show", "digest", "--json").json["path"]
