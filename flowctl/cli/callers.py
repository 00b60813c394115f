"""What this process was started with and has changed since: user code gets it as it was."""

umask = -1  # set by main(); -1: unchanged
