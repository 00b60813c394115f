"""Which interpreter runs a workflow file, and with what around it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flowctl.core.errors import NotFound, NotPermitted, UsageError
from flowctl.engine import interpreter, private_sdk
from flowctl.engine.interpreter import choose_interpreter, executor_environment, own_python, sdk_folder

UV = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))


def make_environment(folder: Path) -> Path:
    venv.create(folder, symlinks=True, with_pip=False)
    return folder


def workflow_in(folder: Path, text: str = "") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "digest.py"
    path.write_text(text)
    return str(path)


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


class TestOrder:
    def test_an_explicit_interpreter_wins_over_everything(self, tmp_path):
        chosen = make_environment(tmp_path / "chosen")
        active = make_environment(tmp_path / "active")
        found = choose_interpreter(workflow_in(tmp_path), str(chosen / "bin" / "python"), {"VIRTUAL_ENV": str(active)})
        assert str(chosen / "bin" / "python") == found.python
        assert str(chosen) == found.virtual_env

    def test_an_explicit_folder_means_the_interpreter_of_that_environment(self, tmp_path):
        chosen = make_environment(tmp_path / "chosen")
        assert str(chosen / "bin" / "python") == choose_interpreter("", str(chosen), {}).python

    def test_an_explicit_name_is_looked_up_on_the_path(self, tmp_path):
        chosen = make_environment(tmp_path / "chosen")
        found = choose_interpreter("", "python", {"PATH": str(chosen / "bin")})
        assert str(chosen / "bin" / "python") == found.python

    def test_the_active_environment_wins_over_one_beside_the_file(self, tmp_path):
        active = make_environment(tmp_path / "active")
        make_environment(tmp_path / "project" / ".venv")
        found = choose_interpreter(workflow_in(tmp_path / "project"), None, {"VIRTUAL_ENV": str(active)})
        assert (str(active / "bin" / "python"), "$VIRTUAL_ENV") == (found.python, found.source)

    def test_the_nearest_environment_above_the_file_is_found(self, tmp_path):
        make_environment(tmp_path / ".venv")
        near = make_environment(tmp_path / "project" / ".venv")
        found = choose_interpreter(workflow_in(tmp_path / "project" / "flows"), None, {})
        assert str(near / "bin" / "python") == found.python
        assert f".venv in {tmp_path / 'project'}" == found.source

    def test_an_environment_beside_the_file_is_named_so(self, tmp_path):
        make_environment(tmp_path / ".venv")
        assert ".venv beside digest.py" == choose_interpreter(workflow_in(tmp_path), None, {}).source

    def test_a_folder_that_is_no_environment_is_passed_over(self, tmp_path):
        (tmp_path / ".venv").mkdir()
        assert "" == choose_interpreter(workflow_in(tmp_path), None, {}).python

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
    def test_n20_an_environment_that_somebody_else_made_is_passed_over(self, tmp_path):
        os.chown(make_environment(tmp_path / ".venv"), 12345, 12345)
        assert "" == choose_interpreter(workflow_in(tmp_path), None, {}).python

    def test_without_any_of_them_it_is_flowctls_own(self, tmp_path):
        found = choose_interpreter(workflow_in(tmp_path), None, {})
        assert ("", None, "flowctl's own Python") == (found.python, found.virtual_env, found.source)

    def test_a_shell_command_needs_none_of_the_users_interpreters(self, tmp_path):
        active = make_environment(tmp_path / "active")
        assert "" == choose_interpreter("", None, {"VIRTUAL_ENV": str(active)}).python


class TestRefusals:
    def test_one_that_does_not_exist_is_refused_with_its_path(self, tmp_path):
        with pytest.raises(UsageError, match=r"there is no interpreter .*/nowhere/python \(--python"):
            choose_interpreter("", str(tmp_path / "nowhere" / "python"), {})

    def test_an_active_environment_that_is_gone_is_refused_not_skipped(self, tmp_path):
        with pytest.raises(UsageError, match=r"there is no interpreter .* \(\$VIRTUAL_ENV\)"):
            choose_interpreter(workflow_in(tmp_path), None, {"VIRTUAL_ENV": str(tmp_path / "gone")})

    def test_a_file_that_is_not_executable_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="cannot be executed"):
            choose_interpreter("", workflow_in(tmp_path), {})

    def test_a_program_that_is_not_python_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="is not a Python interpreter"):
            choose_interpreter("", program(tmp_path / "tool", "echo hello"), {})

    def test_a_too_old_interpreter_is_refused_with_both_versions(self, tmp_path):
        with pytest.raises(UsageError, match=r"is Python 3\.8, and workflows need 3\.9 or newer"):
            choose_interpreter("", program(tmp_path / "python3.8", "echo 3.8"), {})

    def test_a_too_old_environment_is_refused_without_being_started(self, tmp_path):
        (tmp_path / "bin").mkdir()
        (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.6.15\n")
        program(tmp_path / "bin" / "python", f"touch {tmp_path}/started")
        with pytest.raises(UsageError, match=r"is Python 3\.6"):
            choose_interpreter("", str(tmp_path), {})
        assert not (tmp_path / "started").exists()


METADATA = """\
# /// script
# requires-python = ">=3.9"
# dependencies = [{}]
# ///
"""


class TestInlineMetadata:
    def test_a_script_with_dependencies_runs_where_uv_put_them(self, tmp_path):
        made = make_environment(tmp_path / "made")
        (tmp_path / "bin").mkdir()
        program(
            tmp_path / "bin" / "uv", f'echo "$@" >> {tmp_path}/asked; [ $1 = python ] && echo {made}/bin/python; true'
        )
        path = workflow_in(tmp_path / "flows", METADATA.format('"humanize"'))
        found = choose_interpreter(path, None, {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
        assert (f"{made}/bin/python", "inline metadata of digest.py") == (found.python, found.source)
        assert [f"sync --quiet --script {path}", f"python find --script {path}"] == (
            (tmp_path / "asked").read_text().splitlines()
        )

    @pytest.mark.skipif(UV is None, reason="uv is not installed")
    def test_the_real_uv_makes_an_environment_of_a_local_package(self, tmp_path):
        package = tmp_path / "greeting"
        package.mkdir()
        (package / "pyproject.toml").write_text('[project]\nname = "greeting"\nversion = "1"\n')
        path = workflow_in(tmp_path / "flows", METADATA.format(f'"greeting @ {package.as_uri()}"'))
        environ = {
            "PATH": f"{os.path.dirname(str(UV))}:{os.path.dirname(os.path.realpath(sys.executable))}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "UV_CACHE_DIR": str(tmp_path / "cache"),
            "UV_OFFLINE": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        with pytest.raises(UsageError, match="uv cannot make the environment"):
            choose_interpreter(path, None, environ)  # offline, the package cannot be built
        Path(path).write_text(METADATA.format("").replace("[]", "['greeting; python_version < \"3\"']"))
        found = choose_interpreter(path, None, environ)
        assert found.python.startswith(str(tmp_path / "cache"))
        assert "inline metadata of digest.py" == found.source

    def test_a_missing_uv_is_said_and_the_next_interpreter_is_used(self, tmp_path):
        near = make_environment(tmp_path / ".venv")
        path = workflow_in(tmp_path, METADATA.format('"humanize", "rich"'))
        found = choose_interpreter(path, None, {"PATH": "/nowhere"})
        assert str(near / "bin" / "python") == found.python
        assert (
            "digest.py declares dependencies (humanize, rich), but uv, which installs them, was not found" == found.note
        )

    def test_metadata_without_dependencies_asks_no_uv(self, tmp_path):
        found = choose_interpreter(workflow_in(tmp_path, METADATA.format("")), None, {"PATH": "/nowhere"})
        assert ("", None) == (found.python, found.note)

    def test_a_failing_uv_is_reported_in_its_own_words(self, tmp_path):
        (tmp_path / "bin").mkdir()
        program(tmp_path / "bin" / "uv", "echo 'no solution found' >&2; exit 1")
        path = workflow_in(tmp_path, METADATA.format('"humanize"'))
        with pytest.raises(UsageError, match=r"uv cannot make the environment .*: no solution found"):
            choose_interpreter(path, None, {"PATH": str(tmp_path / "bin")})

    @pytest.mark.parametrize("text", ["dependencies = [", "dependencies = 'humanize'", "dependencies = [1]"])
    def test_m01_broken_metadata_is_refused_in_a_sentence(self, tmp_path, text):
        path = workflow_in(tmp_path, f"# /// script\n# {text}\n# ///\n")
        with pytest.raises(UsageError, match="the inline metadata of"):
            choose_interpreter(path, None, {})

    def test_a_file_that_cannot_be_read_is_left_to_the_loader_to_report(self, tmp_path):
        assert "" == choose_interpreter(str(tmp_path / "missing.py"), None, {}).python


class TestOwnPython:
    def test_it_starts_a_python(self):
        done = subprocess.run([*own_python(), "-c", "print(6 * 7)"], capture_output=True, text=True, check=True)
        assert "42\n" == done.stdout

    def test_a_frozen_program_is_its_own_interpreter(self, monkeypatch):
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        monkeypatch.setattr(sys, "executable", "/usr/lib/flowctl/flowctl")
        assert ["/usr/lib/flowctl/flowctl", "_python"] == own_python()


class TestEnvironment:
    def test_l09_what_is_meant_for_flowctls_own_process_stays_behind(self):
        leaky = {
            "PYTHONPATH": "/a",
            "PYTHONHOME": "/b",
            "VIRTUAL_ENV": "/c",
            "LD_LIBRARY_PATH": "/d",
            "LD_PRELOAD": "/e.so",
            "AWS_SECRET_ACCESS_KEY": "canary",
            "FLOWCTL_DB": "/f",
        }
        assert {} == executor_environment(leaky, None)

    def test_what_a_person_s_programs_need_is_passed_on(self):
        wanted = {
            "HOME": "/home/me",
            "PATH": "/usr/bin",
            "LC_TIME": "C",
            "XDG_RUNTIME_DIR": "/run/user/1",
            "SSL_CERT_FILE": "/certs",
            "https_proxy": "http://proxy",
            "NO_PROXY": "localhost",
            "SSH_AUTH_SOCK": "/agent",
        }
        assert wanted == executor_environment(wanted, None)

    def test_a_virtual_environment_is_activated(self):
        found = executor_environment({"PATH": "/usr/bin", "VIRTUAL_ENV": "/other"}, None, "/project/.venv")
        assert {"PATH": "/project/.venv/bin:/usr/bin", "VIRTUAL_ENV": "/project/.venv"} == found

    def test_an_environment_that_is_active_already_is_not_put_on_the_path_twice(self):
        path = "/mine:/project/.venv/bin:/usr/bin"
        assert path == executor_environment({"PATH": path}, None, "/project/.venv")["PATH"]

    def test_an_env_file_adds_to_it_and_wins(self, tmp_path):
        (tmp_path / ".env").write_text("LANG=C\nAPI_KEY=abc\n")
        found = executor_environment({"LANG": "de_DE.UTF-8"}, str(tmp_path / ".env"))
        assert {"LANG": "C", "API_KEY": "abc"} == found


class TestEnvFile:
    def read(self, tmp_path, text):
        (tmp_path / ".env").write_bytes(text if isinstance(text, bytes) else text.encode())
        return executor_environment({}, str(tmp_path / ".env"))

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("A=1", {"A": "1"}),
            ("A = 1 \n\n# note\n  B=two words  ", {"A": "1", "B": "two words"}),
            ("export A=1", {"A": "1"}),
            ("A=1 # note", {"A": "1"}),
            ("A=1#2", {"A": "1#2"}),
            ("A=#note", {"A": ""}),
            ("A=", {"A": ""}),
            ("A=b=c", {"A": "b=c"}),
            ("A='it is # $HOME \\n'", {"A": "it is # $HOME \\n"}),
            ('A="a\\tb\\n\\"c\\" \\$d \\e" # note', {"A": 'a\tb\n"c" $d \\e'}),
            ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
            ("A=$HOME", {"A": "$HOME"}),
            ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
            (b"\xef\xbb\xbfA=1", {"A": "1"}),
            ("A=1\nA=2", {"A": "2"}),
            ("A=ä€", {"A": "ä€"}),
            ("", {}),
        ],
    )
    def test_it_reads(self, tmp_path, text, expected):
        assert expected == self.read(tmp_path, text)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("A=1\nB", "line 2: expected NAME=value"),
            ("A=1\n\n1B=2", "line 3: expected NAME=value"),
            ("A-B=2", "line 1: expected NAME=value"),
            ("A=1\nB='x\ny", "line 2: the ' that opens here is never closed"),
            ('A="x" y', "line 1: something stands after the closing quote"),
            ("A=1\nB=\0", "line 2: a NUL byte"),
            (b"A=\xff", "is not UTF-8 text"),
        ],
    )
    def test_m01_a_mistake_is_named_with_file_and_line(self, tmp_path, text, problem):
        with pytest.raises(UsageError, match=problem) as caught:
            self.read(tmp_path, text)
        assert str(tmp_path / ".env") in caught.value.message

    def test_a_missing_file_and_a_folder_are_refused(self, tmp_path):
        with pytest.raises(NotFound, match="there is no environment file"):
            executor_environment({}, str(tmp_path / "none"))
        with pytest.raises(UsageError, match="cannot be read"):
            executor_environment({}, str(tmp_path))


class TestSdkFolder:
    @pytest.fixture
    def cache(self, tmp_path):
        return {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def test_it_holds_the_sdk_and_nothing_else_of_flowctl(self, cache):
        folder = Path(sdk_folder(cache))
        assert ["flowctl"] == os.listdir(folder)
        assert {"__init__.py", "sdk"} == set(os.listdir(folder / "flowctl"))
        assert (folder / "flowctl" / "sdk" / "wire.py").is_file()

    def test_n02_only_its_owner_may_read_it(self, cache, tmp_path):
        sdk_folder(cache)
        modes = {stat.S_IMODE(each.stat().st_mode) & 0o077 for each in (tmp_path / "cache" / "flowctl").rglob("*")}
        assert {0} == modes

    def test_the_sdk_is_importable_from_it_and_the_engine_is_not(self, cache):
        code = "import flowctl.sdk.wire, importlib.util as u; print(u.find_spec('flowctl.engine'), flowctl.__file__)"
        folder = sdk_folder(cache)
        done = subprocess.run(
            [*own_python(), "-S", "-c", code],
            env={"PYTHONPATH": folder},
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"None {folder}/flowctl/__init__.py" == done.stdout.strip()

    def test_the_same_content_gives_the_same_folder_untouched(self, cache):
        first = sdk_folder(cache)
        before = os.stat(f"{first}/flowctl/sdk/wire.py")
        assert first == sdk_folder(cache)
        assert before.st_ino == os.stat(f"{first}/flowctl/sdk/wire.py").st_ino

    def test_other_content_gives_another_folder(self, cache, monkeypatch):
        first = sdk_folder(cache)
        sources = dict(private_sdk._sources())
        monkeypatch.setattr(private_sdk, "_sources", lambda: [*sources.items(), ("flowctl/sdk/new.py", b"")])
        assert first != sdk_folder(cache)

    def test_damage_is_put_right(self, cache):
        folder = Path(sdk_folder(cache))
        wire = folder / "flowctl" / "sdk" / "wire.py"
        whole = wire.read_bytes()
        wire.write_bytes(whole[:100])
        (folder / "flowctl" / "__init__.py").unlink()
        (folder / "json.py").write_text("raise SystemExit")
        (folder / "flowctl" / "store").mkdir()
        sdk_folder(cache)
        assert whole == wire.read_bytes()
        assert ["flowctl"] == os.listdir(folder)
        assert {"__init__.py", "sdk"} == set(os.listdir(folder / "flowctl"))

    def test_byte_code_that_interpreters_left_there_is_no_damage(self, cache):
        folder = Path(sdk_folder(cache))
        (folder / "flowctl" / "sdk" / "__pycache__").mkdir()
        sdk_folder(cache)
        assert (folder / "flowctl" / "sdk" / "__pycache__").is_dir()

    def test_several_that_start_at_once_agree(self, cache, tmp_path):
        with ThreadPoolExecutor(8) as threads:
            found = set(threads.map(lambda _: sdk_folder(cache), range(16)))
        assert 1 == len(found)
        assert [Path(found.pop()).name] == os.listdir(tmp_path / "cache" / "flowctl")

    def test_a_cache_that_others_could_write_is_closed_to_them(self, cache, tmp_path):
        (tmp_path / "cache" / "flowctl").mkdir(parents=True, mode=0o777)
        (tmp_path / "cache" / "flowctl").chmod(0o777)
        sdk_folder(cache)
        assert 0o700 == stat.S_IMODE((tmp_path / "cache" / "flowctl").stat().st_mode)

    def test_n01_a_symbolic_link_in_its_place_is_not_followed(self, cache, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "flowctl").symlink_to(tmp_path / "elsewhere")
        folder = sdk_folder({**cache, "HOME": str(tmp_path / "home")})
        assert folder.startswith(str(tmp_path / "home" / ".cache" / "flowctl"))
        assert [] == os.listdir(tmp_path / "elsewhere")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
    def test_n01_a_folder_that_somebody_else_made_is_not_used(self, cache, tmp_path):
        (tmp_path / "cache" / "flowctl").mkdir(parents=True)
        os.chown(tmp_path / "cache" / "flowctl", 12345, 12345)
        folder = sdk_folder({**cache, "HOME": str(tmp_path / "home")})
        assert folder.startswith(str(tmp_path / "home"))

    def test_m08_without_any_home_the_temporary_folder_serves(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert sdk_folder({}).startswith(str(tmp_path / f"flowctl-{os.geteuid()}"))

    def test_m08_no_place_at_all_is_a_clear_refusal(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
        with pytest.raises(NotPermitted, match="no private folder can be made"):
            sdk_folder({"XDG_CACHE_HOME": str(tmp_path / "file"), "HOME": str(tmp_path / "file")})


def test_the_names_that_others_import_are_pinned():
    assert [
        "Interpreter",
        "choose_interpreter",
        "executor_environment",
        "own_program",
        "own_python",
        "sdk_folder",
        "seen_by_person",
    ] == interpreter.__all__
