"""`flowctl signal` and `flowctl signals`: messages to runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flowctl.cli.completing import complete_run
from flowctl.cli.control import apply_each
from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.references import find_run
from flowctl.cli.selecting import Chosen, Filters, filter_options, selected_runs
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError
from flowctl.core.model import FINAL_STATES
from flowctl.core.text import shorten

if TYPE_CHECKING:
    from flowctl.core.model import Run
    from flowctl.core.signals import Signal
    from flowctl.store import Store

_RUN = re.compile(r"\d+|.*@\w+", re.ASCII)


@click.command(
    "signal",
    cls=Command,
    examples=[
        "flowctl signal 42 approval true",
        'flowctl signal @last decision \'{"approved": true, "by": "ada"}\'',
        "flowctl signal --workflow onboarding --state waiting stop",
    ],
)
@click.argument(
    "words",
    metavar="RUN… NAME [JSON]",
    nargs=-1,
    required=True,
    shell_complete=complete_run,
    help="Runs, the signal's name, and its value: JSON, @file or - for stdin.  [default: null]",
)
@filter_options
@pass_invocation
def signal(invocation: Invocation, /, words: tuple[str, ...], **given: Any) -> int:
    """Send a signal to runs: to those named, or to those that the filters select.

    A step of the run takes it by wait_signal(NAME), now or later. A value that does not fit a waiting step is refused.
    """
    from flowctl.engine import commands

    message = _read(words)
    with invocation.writing() as store:
        chosen = _receivers(invocation, store, message.runs, Filters(**given))
        sender = _user()
        sent: list[int] = []

        def send(store: Store, run: Run) -> Run:
            now = SYSTEM_CLOCK.now()
            sent.append(commands.signal(store, run.id, now, name=message.name, value=message.value, sender=sender))
            return run

        reached, code = apply_each(invocation, store, chosen, send)
        numbers = set(sent)
        found = [each for run in reached for each in store.signals.of_run(run.id) if each.id in numbers]
    _print_sent(invocation, found, alone=chosen.alone)
    return code


@click.command("signals", cls=Command, examples=["flowctl signals 42", "flowctl signals @last --json"])
@click.argument("run", metavar="RUN", shell_complete=complete_run, help="A number, @last, @failed, NAME@last.")
@pass_invocation
def signals(invocation: Invocation, /, run: str) -> int:
    """List the signals that were sent to a run, in their order, and which step has taken each."""
    with invocation.reading() as store, store.reading():
        found = find_run(store, run, invocation.namespace)
        sent = store.signals.of_run(found.id)
        awaited = [] if found.state in FINAL_STATES else store.signals.awaited(found.id)
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, signal_shape

        invocation.terminal.data_json(dumps([signal_shape(each) for each in sent]))
        return 0
    if sent:
        from flowctl.cli.render import show_signals

        show_signals(invocation.terminal, sent)
    else:
        invocation.terminal.say(f"run {found.id} was sent no signal")
    for name in awaited:
        invocation.terminal.say(f"it waits for: flowctl signal {found.id} {name}")
    return 0


class _Message(NamedTuple):
    """What is sent, and the runs that are named for it."""

    runs: tuple[str, ...]
    name: str
    value: str


def _read(words: tuple[str, ...]) -> _Message:
    """Tell the words apart: the first that is no run is the name. Raises UsageError."""
    from flowctl.cli.arguments import parse_json, read_input
    from flowctl.sdk.options import check_name

    count = next((at for at, word in enumerate(words) if not _RUN.fullmatch(word)), len(words))
    runs, rest = words[:count], words[count:]
    if not rest:
        raise UsageError("the name of the signal is missing", "flowctl signal RUN NAME [JSON]")
    if len(rest) > 2:
        raise UsageError(f"{shorten(repr(rest[2]), 60)} is one word too many", "flowctl signal RUN NAME [JSON]")
    try:
        name = check_name(rest[0])
    except ValueError as error:
        raise UsageError(f"the signal's name: {error}") from None
    what = f"the value of signal {name}"
    value = read_input(rest[1], what) if len(rest) == 2 else "null"
    try:
        parse_json(value, what)
    except UsageError as error:
        raise UsageError(error.message, f"{error.hint}\ntext is written in quotes: '\"text\"'".lstrip()) from None
    return _Message(runs, name, value)


def _receivers(invocation: Invocation, store: Store, runs: tuple[str, ...], filters: Filters) -> Chosen:
    """Return the runs that are named, or those of the selected ones that have not ended."""
    chosen = selected_runs(invocation, store, runs, filters)
    if runs:
        return chosen
    going = [run for run in chosen.runs if run.state not in FINAL_STATES]
    if not going:
        raise NotFound("every run that is selected by these filters has ended", "flowctl ls")
    return Chosen(going)


def _print_sent(invocation: Invocation, sent: list[Signal], *, alone: bool) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps, signal_shape

        shapes = [signal_shape(each) for each in sent]
        invocation.terminal.data_json(dumps(shapes[0] if alone else shapes))
        return
    for each in sent:
        invocation.terminal.data(f"run {each.run_id}  signal {each.name}  sent")


def _user() -> str:
    """Return who sends: the name of the user of this process."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container without an entry
        return f"user {os.getuid()}"
