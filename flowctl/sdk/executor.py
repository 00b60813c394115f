"""The executor process: runs user code on an engine's behalf, and nothing else.

It is started by an engine with one end of a socket pair, whose number and token stand in FLOWCTL_CHANNEL. It opens no
database and decides nothing: it does what it is told to, and reports.
"""

from __future__ import annotations

import os
import sys

from flowctl.sdk.channel import Channel
from flowctl.sdk.wire import WIRE_VERSION, Message


def main() -> None:
    """Be an executor until the engine is gone."""
    number, _, token = os.environ.pop("FLOWCTL_CHANNEL", "").partition(":")
    if not token:
        sys.exit("flowctl: an executor is started by flowctl itself, not by hand")
    engine_pid = os.getppid()
    fd = int(number)
    os.set_inheritable(fd, False)
    _hide_sdk_folder()
    channel = Channel(fd, token)
    python = ".".join(map(str, sys.version_info[:3]))
    channel.send(Message("hello", {"wire": WIRE_VERSION, "pid": os.getpid(), "python": python}))
    _serve(channel, fd, engine_pid)


def _serve(channel: Channel, fd: int, engine_pid: int) -> None:
    from flowctl.sdk import lifeline, serving  # the engine has been greeted: the rest loads while it answers

    lifeline.watch(fd)
    lifeline.arrange(engine_pid)
    os.register_at_fork(after_in_child=channel.close_in_child)
    serving.begin(channel).serve()


def _hide_sdk_folder() -> None:
    """Take the private folder that holds only the SDK off the path: what user code starts must not inherit it."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if sys.path and os.path.abspath(sys.path[0]) == root:
        del sys.path[0]
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if entry and os.path.abspath(entry) != root]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    else:
        os.environ.pop("PYTHONPATH", None)


if __name__ == "__main__":
    main()
