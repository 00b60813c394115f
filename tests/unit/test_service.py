"""The agent for launchd, which this machine may not have: its file is read back, and its commands are called."""

from __future__ import annotations

import os
import plistlib
import sys
from pathlib import Path

import pytest

from flowctl.core.errors import FlowctlError
from flowctl.engine import service


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> service.Service:
    """Return the service of a machine with launchd, whose launchctl notes how it was called."""
    launchctl = tmp_path / "launchctl"
    launchctl.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\ntest ! -e "{tmp_path}/refuses"\n')
    launchctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": "/etc/ada & co"}
    return service.service(["/opt/flowctl <1>"], "/data/flowctl.db", environ)


def test_launchd_runs_the_daemon_from_each_login_on_and_again_when_it_fails(agent: service.Service) -> None:
    assert {
        "Label": "org.flowctl.daemon",
        "ProgramArguments": [
            "/opt/flowctl <1>", "--db", "/data/flowctl.db", "daemon", "run", "--log=/data/flowctl.db-daemon.log",
        ],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Background",
        "Umask": 0o077,
        "EnvironmentVariables": {"XDG_CONFIG_HOME": "/etc/ada & co"},
    } == plistlib.loads(agent.text.encode())  # fmt: skip


def test_the_agent_is_installed_and_taken_out_again(agent: service.Service, tmp_path: Path) -> None:
    place = tmp_path / "home" / "Library" / "LaunchAgents" / "org.flowctl.daemon.plist"
    service.install(agent)
    assert agent.text == place.read_text()
    service.uninstall(agent)
    assert not place.exists()
    domain = f"gui/{os.getuid()}"
    assert [f"bootstrap {domain} {place}", f"bootout {domain}/org.flowctl.daemon"] == (
        tmp_path / "calls"
    ).read_text().splitlines()
    (tmp_path / "refuses").touch()
    with pytest.raises(FlowctlError, match=r"launchctl refused: exit code 1; .* is written, but not switched on"):
        service.install(agent)
