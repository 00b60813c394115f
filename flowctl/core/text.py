"""Text that came from a run, made safe for a terminal.

A terminal obeys escape sequences, C1 controls and direction overrides, wherever they come from: a step's name, an
output, a log line. Here they become visible, as Python would write them: ESC becomes the four characters `\\x1b`.
"""

from __future__ import annotations

import re

# Controls (line feed and tab excepted), DEL, C1, marks and overrides of writing direction, line and paragraph
# separators, byte-order mark, lone surrogates, and the invisible tag characters.
# Each is compiled when it is first needed: most commands print no such text at all.
_DANGEROUS = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_DANGEROUS_IN_LINE = _DANGEROUS[:-1] + "\n\t]"
_COLOUR = "\x1b\\[[0-9;:]*m"
_SHORT = {"\n": "\\n", "\t": "\\t"}


def safe(text: str) -> str:
    """Return the text with everything visible that a terminal would obey; lines and tabs stay.

    Calling it twice changes nothing more. CR LF ends a line as LF does.
    """
    return re.sub(_DANGEROUS, _visible, text.replace("\r\n", "\n"))


def safe_line(text: str) -> str:
    """Return the text as one safe line: line feeds and tabs become visible too."""
    return re.sub(_DANGEROUS_IN_LINE, _visible, text)


def without_colour(text: str) -> str:
    """Return the text without the sequences that colour it: the m of one must not begin a word."""
    return re.sub(_COLOUR, "", text) if "\x1b" in text else text


def safe_json(text: str) -> str:
    """Return JSON text with the same value, in which no character is left that a terminal would obey.

    Outside its strings JSON has only ASCII, so that every such character may be replaced by its JSON escape.
    """
    return (
        text if text.isascii() and "\x7f" not in text else re.sub(_DANGEROUS, lambda match: json_escape(match[0]), text)
    )


def shorten(text: str, limit: int) -> str:
    """Return at most so many characters of the text, the last one an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def plural(number: int, noun: str) -> str:
    """Return how many there are of something: 1 line, 2,000 lines."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def quoted(text: str) -> str:
    """Return what a person wrote in quotes, for a message: safe, in one line, at most 60 characters."""
    return shorten(repr(text), 60)


def _visible(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_escape(char: str) -> str:
    """Return the escape by which a JSON string may hold a character."""
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
