"""The peers, each measured by a script that runs in its own environment: `make bench-peers` makes these."""
