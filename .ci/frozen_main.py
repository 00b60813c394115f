"""The frozen program: flowctl, and the interpreter that its executors run in.

`flowctl _python -c CODE ARGUMENT…` does what `python -c` does. It imports nothing of flowctl first, so that the
executor finds the private copy of the SDK and none of the program's own modules stands in its way.
"""

import multiprocessing
import sys


def run_python(arguments: list[str]) -> None:
    if arguments[:1] != ["-c"] or len(arguments) < 2:
        raise SystemExit("flowctl _python understands -c CODE only")
    sys.argv = ["-c", *arguments[2:]]
    sys.path.insert(0, "")
    exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102


if __name__ == "__main__":
    multiprocessing.freeze_support()  # a workflow may use multiprocessing: this program is its sys.executable
    if sys.argv[1:2] == ["_python"]:
        run_python(sys.argv[2:])
    else:
        from flowctl.cli.main import main

        sys.exit(main())
