"""Writes docs/keys.md from the bindings of the screen: `make docs`."""

from __future__ import annotations

from pathlib import Path

from flowctl.tui.settings import bindings

PAGE = Path(__file__).with_name("keys.md")

HEAD = """\
# Keys of the screen

Written from the screen by `make docs`; do not edit. In [`flowctl tui`](guide/screen.md) `?` shows those of the place
where one is.
The name is what `[tui.keys]` of `config.toml` binds to other keys.

| name | key | does |
|---|---|---|
"""


def render() -> str:
    """Return the text of the page."""
    rows = (f"| `{each.name}` | `{each.keys.replace('|', 'vertical_line')}` | {each.does} |\n" for each in bindings())
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
