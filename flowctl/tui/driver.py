"""The terminal as Textual drives it, on which something may stand already."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver

from flowctl.tui.first_paint import ALTERNATE, FirstPaint


def driver_over(paint: FirstPaint) -> type[LinuxDriver]:
    """Return a driver that leaves what is drawn until the screen covers it, and the terminal as it was before."""

    class Driver(LinuxDriver):
        def start_application_mode(self) -> None:
            super().start_application_mode()  # type: ignore[no-untyped-call]
            if paint.attributes is not None:  # another program is to have them as they were, and so is the shell
                self.attrs_before = paint.attributes

        def write(self, data: str) -> None:
            if paint.drawn and data == ALTERNATE:  # there already: entering it again would clear it
                paint.drawn = False
            else:
                super().write(data)

    return Driver
