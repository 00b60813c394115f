"""Makes the environments of the peers with uv, one for each `requirements-PEER.txt`; one that is complete stays.

uv finds or fetches the interpreter that the first line names; BENCH_PYTHON_DURA, for one, names another by its path.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.contenders import environment_of

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Make what is missing, and return how many could not be made."""
    failed = 0
    for requirements in sorted(FOLDER.glob("requirements-*.txt")):
        peer = requirements.stem.removeprefix("requirements-")
        try:
            _build(peer, requirements)
        except subprocess.CalledProcessError as error:
            failed += 1
            sys.stderr.write(f"{peer}: not installed: {(error.stderr or '').strip()}\n")
        else:
            sys.stdout.write(f"{peer}: {environment_of(peer)}\n")
    return failed


def _build(peer: str, requirements: Path) -> None:
    environment, wanted = environment_of(peer), requirements.read_text()
    complete = environment / ".complete"
    if complete.exists() and complete.read_text() == wanted:
        return
    asked = re.match(r"# python: (\S+)", wanted)
    python = os.environ.get(f"BENCH_PYTHON_{peer.upper()}") or (asked[1] if asked else sys.executable)
    _uv("venv", "--clear", "--python", python, str(environment))
    _uv("pip", "install", "--compile-bytecode", "--python", str(environment), "--requirements", str(requirements))
    complete.write_text(wanted)


def _uv(*words: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    command = str(uv) if uv.exists() else shutil.which("uv") or "uv"
    subprocess.run([command, "--quiet", *words], check=True, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    sys.exit(main())
