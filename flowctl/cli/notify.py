"""`flowctl notify`: where a person is told that something failed, works again, was missed, or needs them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from flowctl.cli.group import Command, Group
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError
from flowctl.core.notices import Channel, ChannelKind, NewNotice

if TYPE_CHECKING:
    from flowctl.store import Store

_MODULE = "flowctl.cli.notify"
_MEMBERS = {
    "add": (f"{_MODULE}:add", "Make a channel"),
    "list": (f"{_MODULE}:list_", "List the channels"),
    "test": (f"{_MODULE}:test", "Send a message through a channel now"),
    "remove": (f"{_MODULE}:remove", "Remove a channel"),
}
_NAME = re.compile(r"\w[\w.-]{0,99}")
_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")
_SERVER = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", re.ASCII)


@click.command(
    "notify",
    cls=Group,
    members=_MEMBERS,
    examples=["flowctl notify add desk --desktop", "flowctl notify test desk", "flowctl notify list"],
)
def notify() -> None:
    """Be told of failures by the daemon: of the first, daily while it goes on, and when it is over.

    And of slots that were missed, and of runs that need a person. A channel that cannot be reached is tried again for
    a day.
    """


@click.command(
    "add",
    cls=Command,
    examples=[
        "flowctl notify add desk --desktop",
        "flowctl notify add hook --webhook https://example.org/flowctl --secret-file ~/.config/flowctl/secret",
        "flowctl notify add me --mail me@example.org --smtp localhost:25 --from flowctl@example.org",
        "flowctl notify add log --command 'cat >> ~/failures.jsonl' --workflow backup --after 3",
    ],
)
@click.argument("name", metavar="NAME", help="What the channel is called.")
@click.option("--command", metavar="CMD", help="A shell command: JSON on its stdin, FLOWCTL_NOTICE_* around it.")
@click.option("--desktop", is_flag=True, help="A notification of the desktop.")
@click.option("--webhook", metavar="URL", help="POST JSON to this address.")
@click.option("--secret-env", metavar="VARIABLE", help="Sign with the secret in this variable of the daemon.")
@click.option("--secret-file", metavar="FILE", help="Sign with the secret in this file, which only you may read.")
@click.option("--mail", metavar="ADDRESS", help="Send mail to this address, by sendmail or --smtp.")
@click.option("--smtp", metavar="HOST:PORT", help="The mail server.  [default: this machine's sendmail]")
@click.option("--from", "sender", metavar="ADDRESS", help="Who the mail is from.")
@click.option("--workflow", metavar="NAME", help="Only about this workflow.")
@click.option("--after", metavar="N", type=click.IntRange(1, 1000), default=1, help="Only after N failures in a row.")
@pass_invocation
def add(invocation: Invocation, /, name: str, workflow: str | None, after: int, **given: Any) -> int:
    """Make a channel. The database keeps where a secret is, never the secret."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:60]!r} is not a name", "use letters, digits, '.', '_' and '-'")
    if workflow is not None and not workflow.isprintable():
        raise UsageError(f"--workflow: {workflow!r} is not a name")
    kind, settings = _settings(given)
    now = SYSTEM_CLOCK.now()
    channel = Channel(0, invocation.namespace, name, kind, settings, workflow, after, now)
    with invocation.writing(create=True) as store, store.transaction():
        channel = channel._replace(id=store.notices.add_channel(channel, now))
        store.events.note(f"channel {name}", "added", now)
    if invocation.json:
        _print(invocation, [channel], {})
    else:
        invocation.terminal.say(f"added {name}; try it with: flowctl notify test {name}")
    return 0


def _settings(given: dict[str, Any]) -> tuple[ChannelKind, dict[str, Any]]:
    """Return the kind of channel that the options mean, and its settings. Raises UsageError."""
    kinds: dict[ChannelKind, tuple[str, ...]] = {
        "command": (),
        "desktop": (),
        "webhook": ("secret_env", "secret_file"),
        "mail": ("smtp", "sender"),
    }
    chosen = [kind for kind in kinds if given[kind]]
    if len(chosen) != 1:
        raise UsageError("a channel is of one kind", "give one of --command, --desktop, --webhook, --mail")
    kind = chosen[0]
    others = [name for other, names in kinds.items() if other != kind for name in names if given[name] is not None]
    if others:
        option = others[0].replace("sender", "from").replace("_", "-")
        raise UsageError(f"--{option} does not belong to --{kind}")
    make = {"command": _of_command, "desktop": lambda _: {}, "webhook": _of_webhook, "mail": _of_mail}[kind]
    return kind, make(given)


def _of_command(given: dict[str, Any]) -> dict[str, Any]:
    if "\0" in given["command"]:
        raise UsageError("--command holds a NUL character")
    return {"command": given["command"]}


def _of_webhook(given: dict[str, Any]) -> dict[str, Any]:
    from urllib.parse import urlsplit

    url, variable, path = given["webhook"], given["secret_env"], given["secret_file"]
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and url.isascii()
    except ValueError:
        fine = False
    if not fine or not url.isprintable() or " " in url:
        raise UsageError(f"--webhook: {url[:100]!r} is not an address", "give https://HOST/PATH")
    if variable and path:
        raise UsageError("--secret-env and --secret-file exclude each other")
    settings: dict[str, Any] = {"url": url}
    if variable:
        settings["secret_env"] = variable
    if path:
        from flowctl.engine.channels import read_secret

        settings["secret_file"] = os.path.abspath(os.path.expanduser(path))
        if not read_secret(settings, os.environ):
            raise UsageError(f"the secret in {path} is empty")
    return settings


def _of_mail(given: dict[str, Any]) -> dict[str, Any]:
    to, server, sender = given["mail"], given["smtp"], given["sender"]
    for address in filter(None, (to, sender)):
        if not _ADDRESS.fullmatch(address) or not address.isprintable():
            raise UsageError(f"{address[:100]!r} is not a mail address")
    if server is None:
        return {"to": to} | ({"from": sender} if sender else {})
    if not _SERVER.fullmatch(server):
        raise UsageError(f"--smtp: {server[:100]!r} is not HOST:PORT", "such as localhost:25")
    if sender is None:
        raise UsageError("--smtp needs --from", "say who the mail is from: --from ADDRESS")
    return {"to": to, "from": sender, "smtp": server}


@click.command("list", cls=Command, examples=["flowctl notify list", "flowctl notify list --json"])
@pass_invocation
def list_(invocation: Invocation, /) -> int:
    """List the channels, and what could not be delivered yet."""
    channels: list[Channel] = []
    waiting: dict[int, tuple[int, str | None]] = {}
    if invocation.has_database():
        with invocation.reading() as store:
            channels = [each for each in store.notices.channels() if each.namespace == invocation.namespace]
            waiting = store.notices.waiting()
    _print(invocation, channels, waiting)
    return 0


def _print(invocation: Invocation, channels: list[Channel], waiting: dict[int, tuple[int, str | None]]) -> None:
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps([_shape(each, *waiting.get(each.id, (0, None))) for each in channels]))
    elif channels:
        from flowctl.cli.tables import Column, show_table

        titles = ("CHANNEL", "KIND", "TO", "ABOUT", "AFTER", "WAITING", "PROBLEM")
        rows = [_row(each, *waiting.get(each.id, (0, None))) for each in channels]
        columns = [Column(title, whole=title != "PROBLEM") for title in titles]
        show_table(invocation.terminal, columns, rows)
    else:
        invocation.terminal.say("no channels yet: flowctl notify add NAME --desktop")


def _shape(channel: Channel, count: int, error: str | None) -> dict[str, Any]:
    from flowctl.cli.instants import iso

    return {
        "channel": channel.name,
        "kind": channel.kind,
        "settings": channel.settings,
        "workflow": channel.workflow,
        "after": channel.failures,
        "created_at": iso(channel.created_at),
        "waiting": count,
        "problem": error,
    }


def _row(channel: Channel, count: int, error: str | None) -> list[str]:
    to = next((str(channel.settings[key]) for key in ("command", "url", "to") if key in channel.settings), "")
    about = channel.workflow or "every workflow"
    return [channel.name, channel.kind, to, about, str(channel.failures), str(count) if count else "", error or ""]


@click.command("test", cls=Command, examples=["flowctl notify test desk"])
@click.argument("name", metavar="NAME", help="A channel.")
@pass_invocation
def test(invocation: Invocation, /, name: str) -> int:
    """Send a message through a channel now, and tell whether it was delivered. Exit code 1 when it was not."""
    from flowctl.engine.channels import deliver
    from flowctl.engine.notifier import delivery_of

    now = SYSTEM_CLOCK.now()
    with invocation.writing() as store:
        channel = _find(store, invocation.namespace, name)
        with store.transaction():
            new = NewNotice(channel.id, f"channel {name}", "test", None, "This is a test: flowctl can reach you here.")
            notice = store.notices.add(new, now, None)
        deliver(delivery_of(channel, notice, now), os.environ)
        with store.transaction():
            store.notices.sent(notice.id, SYSTEM_CLOCK.now())
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps({"channel": name, "delivered": True}))
    else:
        invocation.terminal.say(f"delivered by {channel.kind}")
    return 0


@click.command("remove", cls=Command, examples=["flowctl notify remove desk"])
@click.argument("name", metavar="NAME", help="A channel.")
@pass_invocation
def remove(invocation: Invocation, /, name: str) -> int:
    """Remove a channel, and the messages that it has not delivered."""
    with invocation.writing() as store:
        channel = _find(store, invocation.namespace, name)
        with store.transaction():
            store.notices.remove_channel(channel.namespace, channel.name)
            store.events.note(f"channel {name}", "removed", SYSTEM_CLOCK.now())
    if invocation.json:
        from flowctl.cli.json_shapes import dumps

        invocation.terminal.data_json(dumps({"removed": name}))
    else:
        invocation.terminal.say(f"removed {name}")
    return 0


def _find(store: Store, namespace: str, name: str) -> Channel:
    import difflib

    known = {each.name: each for each in store.notices.channels() if each.namespace == namespace}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    shown = name if name.isprintable() and name else repr(name)
    raise NotFound(f"there is no channel {shown[:100]}", f"did you mean {near[0]}?" if near else "flowctl notify list")
