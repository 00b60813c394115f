"""Where secrets come from, and that whoever looks for one says nothing of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowctl.core.config import Source, config_path, load_config
from flowctl.core.errors import UsageError
from flowctl.engine import secrets
from flowctl.engine.secrets import NoSecret, resolve, sources_of


def private(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def configure(text: str) -> dict[str, tuple[Source, ...]]:
    path = config_path(os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return dict(load_config(os.environ).secrets)


def value(name: str, configured: str = "", **environ: str) -> str:
    known = {**os.environ, **environ}
    return resolve(name, sources_of(name, configure(configured), known), known)


def test_the_environment_is_asked_first_and_then_the_private_file_of_the_name() -> None:
    private(config_path(os.environ).parent / "secrets" / "TOKEN", "of-the-file\n")
    assert "of-the-file" == value("TOKEN")
    assert "of-the-environment" == value("TOKEN", TOKEN="of-the-environment")


def test_config_names_the_sources_of_a_secret_in_their_order(tmp_path: Path) -> None:
    private(tmp_path / "there", "of-the-file")
    table = f'[secrets]\nTOKEN = {{ env = "OTHER", file = "{tmp_path / "there"}" }}\n'
    assert "of-the-file" == value("TOKEN", table, TOKEN="not asked")
    assert "of-other" == value("TOKEN", table, OTHER="of-other")


def test_a_command_is_asked_without_a_shell_and_its_answer_stripped() -> None:
    assert "a $HOME" == value("TOKEN", "[secrets]\nTOKEN = { command = ['printf', ' %s\\n', 'a $HOME'] }\n")


def test_the_keyring_is_asked_by_the_program_that_is_there(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "secret-tool"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$*"\n')
    program.chmod(0o755)
    table = "[secrets]\nTOKEN = { keyring = 'flowctl' }\n"
    path = f"{program.parent}:/usr/bin:/bin"
    assert "lookup service flowctl username TOKEN" == value("TOKEN", table, PATH=path)
    with pytest.raises(NoSecret, match="no program for the keyring"):
        value("TOKEN", table, PATH="/nowhere")


def test_a_file_that_others_can_read_is_refused() -> None:
    path = private(config_path(os.environ).parent / "secrets" / "TOKEN", "canary")
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(NoSecret, match="can be read by others: chmod 600 it") as raised:
            value("TOKEN")
        assert "canary" not in str(raised.value)


def test_no_source_repeats_what_it_has_read(tmp_path: Path) -> None:
    (tmp_path / "fifo").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "fifo", 0o600)
    private(tmp_path / "long", "canary" * 20_000)
    private(tmp_path / "empty", "\n")
    binary = private(tmp_path / "binary", "")
    binary.write_bytes(b"canary\xff")
    for source, said in (
        ('file = "/nonexistent"', "cannot be read"),
        (f'file = "{tmp_path}"', "cannot be read"),
        (f'file = "{tmp_path / "fifo"}"', "is not a file"),
        (f'file = "{tmp_path / "long"}"', "more than 64 KB"),
        (f'file = "{tmp_path / "empty"}"', "is empty"),
        (f'file = "{tmp_path / "binary"}"', "something else than text"),
        ("command = ['sh', '-c', 'echo canary; echo canary >&2; exit 3']", "sh ended with exit code 3"),
        ("command = ['/nonexistent']", "cannot be started"),
        ("command = ['true']", "is empty"),
    ):
        with pytest.raises(NoSecret, match=said) as raised:
            value("TOKEN", f"[secrets]\nTOKEN = {{ {source} }}\n")
        assert "canary" not in str(raised.value)


def test_a_command_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_S", 0.05)
    with pytest.raises(NoSecret, match=r"sleep took longer than 0\.05 s"):
        value("TOKEN", "[secrets]\nTOKEN = { command = ['sleep', '60'] }\n")


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\0b"])
def test_n13_no_name_leads_out_of_the_folder_of_secrets(name: str) -> None:
    assert ("env",) == tuple(source.kind for source in sources_of(name, {}, os.environ))


@pytest.mark.parametrize(
    "text",
    [
        "secrets = 3",
        "[secrets]\nA = 'x'",
        "[secrets]\nA = {}",
        "[secrets]\nA = { vault = 'x' }",
        "[secrets]\nA = { env = 3 }",
        "[secrets]\nA = { env = '' }",
        "[secrets]\nA = { file = 'here' }",
        "[secrets]\nA = { command = 'pass x' }",
        "[secrets]\nA = { command = [] }",
    ],
)
def test_a_wrong_table_of_secrets_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        configure(text)
