"""Which calls a workflow body must not make, and what to write instead."""

from __future__ import annotations

import ast

FIXES = {
    "clock": "replay would get another instant: use flowctl.now(), or move it into a @step",
    "wait": "replay would wait again: use flowctl.sleep(), which is durable",
    "random": "replay would get another number: use flowctl.random(), or move it into a @step",
    "uuid": "replay would get another id: use flowctl.uuid4(), or move it into a @step",
    "secrets": "replay would get another value: move it into a @step, and read stored secrets with flowctl.secret()",
    "network": "it would be sent again on every replay: move it into a @step",
    "file": "it would be done again on every replay, and files change: move it into a @step",
    "process": "it would be started again on every replay: use flowctl.sh(), or move it into a @step",
    "input": "nobody answers in a run: make it a parameter of the workflow",
    "thread": "the order of its steps would differ on replay: use flowctl.gather()",
}

_EXACT = {
    "open": "file",
    "io.open": "file",
    "input": "input",
    "os.urandom": "secrets",
    "os.getrandom": "secrets",
    "time.sleep": "wait",
    "asyncio.sleep": "wait",
    "datetime.datetime.now": "clock",
    "datetime.datetime.utcnow": "clock",
    "datetime.datetime.today": "clock",
    "datetime.date.today": "clock",
    "pathlib.Path.cwd": "file",
    "pathlib.Path.home": "file",
}

# With so many arguments these only convert the instant they are given.
_CONVERSIONS = {
    "time.gmtime": 1,
    "time.localtime": 1,
    "time.ctime": 1,
    "time.asctime": 1,
    "time.strftime": 2,
    "time.mktime": 1,
    "time.strptime": 1,
}

_MODULES = {
    "time": "clock",
    "random": "random",
    "numpy.random": "random",
    "uuid": "uuid",
    "secrets": "secrets",
    "socket": "network",
    "ssl": "network",
    "requests": "network",
    "httpx": "network",
    "aiohttp": "network",
    "urllib3": "network",
    "urllib.request": "network",
    "http.client": "network",
    "smtplib": "network",
    "ftplib": "network",
    "imaplib": "network",
    "poplib": "network",
    "paramiko": "network",
    "boto3": "network",
    "sqlite3": "file",
    "shutil": "file",
    "tempfile": "file",
    "glob": "file",
    "subprocess": "process",
    "multiprocessing": "process",
    "threading": "thread",
    "concurrent.futures": "thread",
}

_PURE = {"uuid.UUID", "uuid.uuid3", "uuid.uuid5", "secrets.compare_digest", "shutil.get_terminal_size", "glob.escape"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OS_FILE = _words(
    "open read write mkdir makedirs rmdir removedirs remove unlink rename renames replace link symlink readlink "
    "truncate chmod chown utime listdir scandir walk stat lstat access getcwd chdir mkfifo"
)
_OS_PATH_FILE = _words(
    "exists lexists isfile isdir islink ismount getsize getmtime getatime getctime samefile realpath"
)
_OS_PROCESS = _words(
    "system popen fork forkpty kill killpg posix_spawn posix_spawnp spawnl spawnle spawnlp spawnv spawnve spawnvp "
    "execl execle execlp execv execve execvp execvpe abort"
)
_PATH_TYPES = _words("pathlib.Path pathlib.PosixPath pathlib.WindowsPath")
_PATH_FILE = _words(
    "open read_text read_bytes write_text write_bytes mkdir rmdir unlink touch rename replace exists is_file is_dir "
    "is_symlink stat lstat iterdir glob rglob walk chmod symlink_to hardlink_to readlink resolve samefile owner"
)
_SURELY_PATH = _words("read_text read_bytes write_text write_bytes iterdir")  # nothing else has these


def call_problem(name: str, call: ast.Call) -> str | None:
    """Return which rule of FIXES a call breaks. `name` is dotted; a `?` stands for a value nobody knows."""
    if name in _PURE or len(call.args) + len(call.keywords) >= _CONVERSIONS.get(name, 99):
        return None
    return _EXACT.get(name) or _method_problem(name) or _module_problem(name)


def is_path_type(name: str) -> bool:
    """Tell whether a dotted name is pathlib's class of real paths."""
    return name in _PATH_TYPES


def _method_problem(name: str) -> str | None:
    owner, _, method = name.rpartition(".")
    if owner == "os" and method in _OS_FILE:
        return "file"
    if owner == "os.path" and method in _OS_PATH_FILE:
        return "file"
    if owner == "os" and method in _OS_PROCESS:
        return "process"
    if (owner in _PATH_TYPES and method in _PATH_FILE) or (owner == "?" and method in _SURELY_PATH):
        return "file"
    return None


def _module_problem(name: str) -> str | None:
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        rule = _MODULES.get(".".join(parts[:length]))
        if rule is not None:
            return rule
    return None
