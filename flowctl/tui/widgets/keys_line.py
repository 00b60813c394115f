"""The last line: what can be done now, and at its end, whatever the width, the key that lists all keys."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey


class KeysLine(Footer):
    """The keys of what has the focus."""

    def compose(self) -> ComposeResult:
        """Yield the keys, and the last one."""
        yield from super().compose()
        for found in self.screen.active_bindings.values():
            binding = found.binding
            if binding.action == "keys":
                shown = self.app.get_key_display(binding)
                yield FooterKey(binding.key, shown, binding.description, binding.action, classes="last")
