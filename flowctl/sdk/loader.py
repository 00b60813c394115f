"""Importing a workflow file by its path, and knowing every local source file that this took.

Local are the source files under the workflow file's own folder, except those of an environment or a package folder.
They are read by a finder of our own, so that pinned code (the text a run started with) can be imported under its
original paths, whatever the disk says now.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

from flowctl.sdk import source
from flowctl.sdk.definition import Workflow
from flowctl.sdk.errors import error_record

_PACKAGE_FOLDERS = {"site-packages", "dist-packages", "node_modules", "__pycache__", "venv", "env"}


class Loaded(NamedTuple):
    """An imported workflow file: its workflows by function name, and the text of every local file."""

    path: str
    workflows: dict[str, Workflow[Any, Any]]
    files: dict[str, str]


class LoadFailed(Exception):
    """The file could not be imported; `error` is the record of why, file and line are where."""

    def __init__(self, error: dict[str, str], file: str, line: Optional[int]) -> None:
        super().__init__(error["message"])
        self.error = error
        self.file = file
        self.line = line


def load(path: str, pinned: Optional[Mapping[str, str]] = None) -> Loaded:
    """Import the file and return its workflows; from the pinned texts, where there are some.

    Raises LoadFailed for whatever goes wrong, an exit included.
    """
    if not path:
        return _command_only()
    folder = os.path.dirname(path)
    finder = _LocalFinder(folder, pinned or {})
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
    sys.meta_path.insert(0, finder)
    try:
        module = finder.execute(_module_name(path), path)
        workflows = _workflows(module, path)
        for name in workflows:
            _refuse_replaced(name, finder.texts[path])
    except BaseException as error:  # noqa: BLE001 — user code runs here: sys.exit is a failure like any other
        raise _failure(error, path, folder) from None
    return Loaded(path, workflows, finder.texts)


def _command_only() -> Loaded:
    """Return the workflow of runs that have no file: a shell command."""
    from flowctl.sdk.command_workflow import run_command

    return Loaded("", {"": run_command}, {})


class _LocalFinder:
    """Finds and imports local modules."""

    def __init__(self, folder: str, pinned: Mapping[str, str]) -> None:
        self.texts: dict[str, str] = {}
        self._folder = folder.rstrip(os.sep) + os.sep
        self._pinned = pinned
        prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__), _sdk_folder())
        ends = (prefix.rstrip(os.sep) + os.sep for prefix in prefixes)
        self._foreign = tuple(prefix for prefix in ends if not self._folder.startswith(prefix))

    def execute(self, name: str, path: str) -> ModuleType:
        """Import the file at this path as a module of this name."""
        spec = self._spec(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return module

    def find_spec(self, name: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None) -> Any:
        """Return how to import a local module, or None for all others."""
        found = self._find_pinned(name, path) if self._pinned else None
        if found is not None:
            return found
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None or not self._is_local(spec.origin):
            return None
        return self._spec(name, spec.origin)

    def _find_pinned(self, name: str, path: Optional[Sequence[str]]) -> Optional[ModuleSpec]:
        last = name.rpartition(".")[2]
        for entry in sys.path if path is None else path:
            base = os.path.join(entry, last)
            for origin in (os.path.join(base, "__init__.py"), f"{base}.py"):
                if origin in self._pinned:
                    return self._spec(name, origin)
            if any(known.startswith(base + os.sep) for known in self._pinned):
                spec = ModuleSpec(name, None, is_package=True)  # a folder without __init__.py
                spec.submodule_search_locations = [base]
                return spec
        return None

    def _is_local(self, origin: str) -> bool:
        if not origin.startswith(self._folder) or not origin.endswith(".py") or origin.startswith(self._foreign):
            return False
        parts = origin[len(self._folder) :].split(os.sep)[:-1]
        return not any(part in _PACKAGE_FOLDERS or part.startswith(".") for part in parts)

    def _spec(self, name: str, origin: str) -> ModuleSpec:
        is_package = os.path.basename(origin) == "__init__.py"
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(origin)]
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:  # noqa: ARG002 — the importer's protocol
        """Leave the creation of the module to Python."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, and remember its text."""
        assert module.__spec__ is not None and module.__spec__.origin is not None
        exec(self._compiled(module.__spec__.origin), module.__dict__)  # noqa: S102 — importing is what a loader does

    def get_source(self, name: str) -> Optional[str]:
        """Return the text a module was imported from: inspect and linecache ask for it."""
        origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
        return self.texts.get(str(origin))

    def _compiled(self, origin: str) -> CodeType:
        text = self._pinned.get(origin)
        if text is None:
            with open(origin, "rb") as file:
                text = _decoded(file.read())
        else:
            _show_in_tracebacks(origin, text)
        self.texts[origin] = text
        source.remember(origin, text)
        return compile(text, origin, "exec", dont_inherit=True)


def _decoded(data: bytes) -> str:
    """Return a source file's text as Python decodes it. Raises SyntaxError and UnicodeDecodeError.

    importlib's own way imports tokenize, which is left to files that declare an encoding (PEP 263) or are no UTF-8.
    """
    first_lines = b"".join(data.split(b"\n", 2)[:2])
    if b"coding" in first_lines or b"\r" in data or data.startswith(b"\xef\xbb\xbf"):
        return importlib.util.decode_source(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return importlib.util.decode_source(data)


def _sdk_folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _show_in_tracebacks(origin: str, text: str) -> None:
    import linecache

    linecache.cache[origin] = (len(text), None, text.splitlines(keepends=True), origin)


def _module_name(path: str) -> str:
    """Return the file's own name where that hides no other module, so that its siblings can import it."""
    stem = os.path.splitext(os.path.basename(path))[0]
    taken = stem in sys.modules or stem in getattr(sys, "stdlib_module_names", ()) or not stem.isidentifier()
    return f"workflow_{stem}" if taken or stem == "flowctl" else stem


def _workflows(module: ModuleType, path: str) -> dict[str, Workflow[Any, Any]]:
    found: dict[str, Workflow[Any, Any]] = {}
    names: dict[str, Workflow[Any, Any]] = {}
    for workflow in _defined_in(module, path):
        other = names.setdefault(workflow.name, workflow)
        if other is not workflow:
            first, second = (f"{one.function.__name__} (line {_line(one)})" for one in (other, workflow))
            raise DuplicateWorkflow(f'two workflows are named "{workflow.name}": {first} and {second}')
        found[workflow.function.__name__] = workflow
    return found


def _refuse_replaced(name: str, text: str) -> None:
    """Refuse a file that defines a workflow function twice: only the second one would exist."""
    if text.count(f"def {name}(") < 2:
        return
    import ast

    lines = [node.lineno for node in ast.parse(text).body if _defines_workflow(node, name)]
    if len(lines) > 1:
        raise DuplicateWorkflow(
            f'two workflows are named "{name}": ' + " and ".join(f"{name} (line {line})" for line in lines)
        )


def _defines_workflow(node: Any, name: str) -> bool:
    decorators = getattr(node, "decorator_list", ()) if getattr(node, "name", "") == name else ()
    for decorator in decorators:
        decorator = getattr(decorator, "func", decorator)
        if "workflow" in (getattr(decorator, "id", ""), getattr(decorator, "attr", "")):
            return True
    return False


class DuplicateWorkflow(Exception):
    """Two workflows of one file have the same name."""


def _defined_in(module: ModuleType, path: str) -> Iterator[Workflow[Any, Any]]:
    seen: set[int] = set()
    for value in list(vars(module).values()):
        if isinstance(value, Workflow) and id(value) not in seen and value.path == path:
            seen.add(id(value))
            yield value


def _line(workflow: Workflow[Any, Any]) -> int:
    code = getattr(workflow.function, "__code__", None)
    return int(code.co_firstlineno) if code is not None else 0


def _failure(error: BaseException, path: str, folder: str) -> LoadFailed:
    record = error_record(error)
    file, line = _place(error, path, folder)
    if isinstance(error, SystemExit):
        record["message"] = f"it called sys.exit({error.code!r}) while it was imported"
    elif isinstance(error, FileNotFoundError) and error.filename == path:
        record["message"] = f"there is no file {path}"
    return LoadFailed(record, file, line)


def _place(error: BaseException, path: str, folder: str) -> tuple[str, Optional[int]]:
    """Return file and line of the error: where the syntax is wrong, else the innermost line of the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    place: tuple[str, Optional[int]] = (path, None)
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename.startswith(folder + os.sep):
            place = at.tb_frame.f_code.co_filename, at.tb_lineno
        at = at.tb_next
    return place
