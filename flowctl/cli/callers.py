"""What this process was started with and has changed since: user code gets it as it was. And who has started it."""

import os

umask = -1  # set by main(); -1: unchanged


def person() -> str:
    """Return the name of the user that this process belongs to."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # as in a container
        return f"user {os.geteuid()}"
