"""`flowctl tui`: opens the screen."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.cli.terminal import is_terminal
from flowctl.core.config import ScreenSettings, config_path, load_config
from flowctl.core.errors import UsageError

if TYPE_CHECKING:
    from flowctl.tui.app import FlowctlApp
    from flowctl.tui.first_paint import FirstPaint


@click.command("tui", cls=Command, examples=["flowctl tui", "flowctl tui @failed", "flowctl tui 42"])
@click.argument("run", metavar="RUN", required=False, shell_complete=complete_run, help="Open it: a number, @last, …")
@pass_invocation
def tui(invocation: Invocation, /, run: str | None) -> int:
    """Look at runs, steps, schedules and queues, and act on them. `?` shows the keys, `q` ends it.

    Keys, theme, mouse and saved views are set in the `[tui]` table of config.toml.
    """
    if invocation.json:
        raise UsageError("the screen has no JSON", "flowctl ls --json, flowctl show RUN --json")
    if not is_terminal(sys.stdin) or not is_terminal(sys.stdout):
        raise UsageError("the screen needs a terminal", "flowctl ls, flowctl show RUN")
    settings = load_config(os.environ).tui
    number: int | None = None
    if run is not None:
        with invocation.reading() as store:
            number = find_run(store, run, invocation.namespace).id

    from flowctl.tui.first_paint import FirstPaint

    with FirstPaint() as paint:
        if number is None:
            paint.draw(invocation.db, invocation.namespace, settings.keys)
        app = _screen(invocation, settings, number, paint)
        app.run(mouse=settings.mouse)
    if app.defect is not None:
        raise app.defect
    return app.return_code or 0


def _screen(invocation: Invocation, settings: ScreenSettings, number: int | None, paint: FirstPaint) -> FlowctlApp:
    """Load the screen, which takes its time."""
    from flowctl.tui.app import FlowctlApp
    from flowctl.tui.settings import check_settings

    check_settings(settings, config_path(os.environ))
    return FlowctlApp(invocation.db, invocation.namespace, settings, number, debugs=invocation.debug, paint=paint)
