"""Hiding the values of secrets in everything that leaves the executor.

Covered are a value as it is, as JSON and `repr` escape it, and percent-encoded as in a URL. Other transformations of
a value (base64, a part of it, a number made of it) are not recognised.
"""

from __future__ import annotations

import json
import re
from typing import Any, Optional

MASK = "***"
SHORTEST = 4  # a shorter value would be found everywhere

_values: set[str] = set()
_forms: tuple[str, ...] = ()  # longest first
_pattern: Optional[re.Pattern[str]] = None


def register(value: str) -> bool:
    """Hide this value from now on; tell whether it is long enough to be hidden."""
    global _forms, _pattern  # read on every payload: replaced whole, so that readers need no lock
    if len(value) < SHORTEST:
        return False
    if value not in _values:
        _values.add(value)
        forms = sorted({form for known in _values for form in _forms_of(known)}, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, forms)))
        _forms = tuple(forms)
    return True


def active() -> bool:
    """Tell whether there is anything to hide."""
    return bool(_forms)


def _forms_of(value: str) -> set[str]:
    from urllib.parse import quote, quote_plus

    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    text = value.encode("utf-8", "surrogatepass")
    return forms | {quote(text, safe=""), quote(text), quote_plus(text)}


def mask(text: str) -> str:
    """Return the text with every secret value replaced by ***."""
    if _pattern is None:
        return text
    return _pattern.sub(MASK, text)


def mask_json(text: str) -> str:
    """Return JSON text in which every secret value inside a string or a key is replaced by ***.

    Text without secrets is returned as the same object.
    """
    if not any(form in text for form in _forms):
        return text
    masked = json.dumps(_mask_value(json.loads(text)), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        masked.encode()
    except UnicodeEncodeError:  # a lone surrogate: only ASCII escapes can carry it
        return json.dumps(json.loads(masked), separators=(",", ":"))
    return masked


def _mask_value(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_mask_value(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and "$secret" in value:  # a reference holds the name, which is not secret
            return value
        return {mask(key): _mask_value(item) for key, item in value.items()}
    return value


class StreamMask:
    """Masks text that arrives in pieces: the result is the same wherever the pieces were cut."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Add a piece and return what can be shown by now."""
        if _pattern is None:
            return text
        text = self._held + text
        shown, at = [], 0
        while True:
            stop = _open_end(text, at)
            match = _pattern.search(text, at)
            if match is None or match.start() >= stop:
                break
            shown += [text[at : match.start()], MASK]
            at = match.end()
        self._held = text[stop:]
        return "".join([*shown, text[at:stop]])

    def flush(self) -> str:
        """Return what was held back, because nothing follows."""
        text, self._held = self._held, ""
        return mask(text)


def _open_end(text: str, at: int) -> int:
    """Return where, from `at` on, the first end of the text lies that more text could complete to a secret."""
    for start in range(max(at, len(text) - len(_forms[0]) + 1), len(text)):
        end = text[start:]
        if any(form.startswith(end) and form != end for form in _forms):
            return start
    return len(text)
