"""The command line from a cold start, as it is installed: caches warm, bytecode written."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.large_file import STEPS_PER_RUN, large_file
from bench.measuring import median_time
from bench.model import Case, Figures, Goal

_SCRIPT = "def noop(x):\n    return x\n\n\nprint(noop(1))\n"
_FLOW = """\
from flowctl import step, workflow


@step
def noop(x: int) -> int:
    return x


@workflow
def one(x: int = 1) -> int:
    return noop(x)
"""

CASE = Case(
    name="cold",
    about="whole commands at the median: --help, ls on 100,000 runs, run of a one-step script; bare Python and peers",
    figures={"help": "ms", "ls": "ms", "run": "ms"},
    contenders=("flowctl", "python", "dbos", "huey", "prefect"),
    size=100_000,  # runs in the file that ls looks into
    quick=2_000,
    goals=(
        Goal("help", 60, at_most=True),
        Goal("ls", 120, at_most=True),
        Goal("run", 8, over="python", at_most=True),
    ),
)


def flowctl_command() -> list[str]:
    """Return the words that start flowctl: the installed script where there is one, else what that would do."""
    installed = Path(sys.executable).parent / "flowctl"
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "import sys; from flowctl.cli.main import main; sys.exit(main())"]


def measure(contender: str, size: int, folder: Path) -> Figures:
    """Return what flowctl's commands take; or an interpreter that does nothing, and a plain script."""
    if contender == "python":
        (folder / "script.py").write_text(_SCRIPT)
        commands = {"help": [sys.executable, "-c", "pass"], "run": [sys.executable, "script.py"]}
    else:
        (folder / "flow.py").write_text(_FLOW)
        file = large_file(folder.parent, size * STEPS_PER_RUN)
        flowctl = flowctl_command()
        commands = {
            "help": [*flowctl, "--help"],
            "ls": [*flowctl, "--db", str(file), "ls"],
            "run": [*flowctl, "--db", str(folder / "flowctl.db"), "run", "flow.py"],
        }
    return {name: median_time(words, folder) for name, words in commands.items()}
