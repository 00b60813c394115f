"""Hiding the values of secrets in everything that leaves the executor.

Covered are a value as it is, as JSON and `repr` escape it, percent-encoded as in a URL, and in base64, alone or as a
part of what was encoded; and a whole number that is the value, from 100,000 on. Other transformations of a value (a
hash, a part of it, a number reckoned from it) are not known.

The executor hides in what it sends; the engine, which it tells each value, in what it reads from the executor's pipes.
"""

from __future__ import annotations

import json
import re
from threading import Lock
from typing import Any, Callable, Optional

from flowctl.sdk.errors import Unstorable

MASK = "***"
SHORTEST = 4  # a shorter value would be found everywhere
_LIKELY_OTHERS = 100_000  # a smaller number that is equal to a secret is not likely to be one
SHORTEST_IN_BASE64 = 6
SENSITIVE_LIMIT = 64  # the latest values of sensitive parameters: unlike secrets they may differ in every run


class Masker:
    """The values that are hidden. Readers need no lock: what they read is replaced whole."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._secrets: dict[str, set[str]] = {}  # each with its forms
        self._sensitive: dict[str, set[str]] = {}
        self.forms: tuple[str, ...] = ()  # longest first
        self._compiled: Optional[tuple[tuple[str, ...], re.Pattern[str]]] = None
        self._escaped: tuple[tuple[str, ...], frozenset[str]] = ((), frozenset())

    def add(self, value: str, *, sensitive: bool = False) -> bool:
        """Hide this value from now on; tell whether it was not hidden before."""
        with self._lock:
            if value in self._secrets or (sensitive and value in self._sensitive):
                return False
            known = self._sensitive if sensitive else self._secrets
            known[value] = _forms_of(value)
            if sensitive and len(known) > SENSITIVE_LIMIT:
                del known[next(iter(known))]
            forms = set().union(*self._secrets.values(), *self._sensitive.values())
            self.forms = tuple(sorted(forms, key=len, reverse=True))
            return True

    def pattern(self) -> Optional[re.Pattern[str]]:
        """Return what finds every hidden value, or None when there is none."""
        forms, compiled = self.forms, self._compiled
        if not forms:
            return None
        if compiled is None or compiled[0] is not forms:
            compiled = self._compiled = forms, re.compile("|".join(map(re.escape, forms)))
        return compiled[1]

    def json_forms(self) -> frozenset[str]:
        """Return what the hidden values look like inside JSON text, which may escape them once more."""
        forms, (known, escaped) = self.forms, self._escaped
        if known is not forms:
            escaped = frozenset(json.dumps(form, ensure_ascii=ascii)[1:-1] for form in forms for ascii in (True, False))
            self._escaped = forms, escaped
        return escaped

    def mask(self, text: str) -> str:
        """Return the text with every hidden value replaced by ***."""
        pattern = self.pattern()
        return text if pattern is None else pattern.sub(MASK, text)


def _forms_of(value: str) -> set[str]:
    from urllib.parse import quote, quote_plus

    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    text = value.encode("utf-8", "surrogatepass")
    return forms | {quote(text, safe=""), quote(text), quote_plus(text)} | _in_base64(text)


def _in_base64(data: bytes) -> set[str]:
    """Return what of these bytes stands in base64, wherever in the encoded they begin: as in that of user:password.

    At both ends a character that also depends on the neighbour is left out, as is the padding.
    """
    from base64 import b64encode

    texts = {b64encode(data).rstrip(b"=").decode()}
    for before in range(3):
        encoded = b64encode(bytes(before) + data).decode()
        texts.add(encoded[(0, 2, 3)[before] : (before + len(data)) * 8 // 6])
    known = {text for text in texts if len(text) >= SHORTEST_IN_BASE64}
    return known | {text.replace("+", "-").replace("/", "_") for text in known}


_here = Masker()  # of this executor
_tell: Optional[Callable[[str, bool], None]] = None


def tell_with(callback: Callable[[str, bool], None]) -> None:
    """Call this with every value that is hidden from now on, and whether it is a sensitive parameter's."""
    global _tell
    _tell = callback


def register(value: str) -> bool:
    """Hide the value of a secret from now on; tell whether it is long enough to be hidden."""
    if len(value) < SHORTEST:
        return False
    if _here.add(value) and _tell is not None:
        _tell(value, False)
    return True


def hide_sensitive(value: Any) -> None:
    """Hide the texts in a sensitive parameter's value. Outside of executors nothing is recorded, and nothing hidden."""
    if _tell is None:
        return
    for text in _texts_in(value):
        if len(text) >= SHORTEST and _here.add(text, sensitive=True):
            _tell(text, True)


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [str.__str__(value)]
    if isinstance(value, bytes):
        return [value.decode("utf-8", "replace")]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    return [part for part in parts if isinstance(part, str)]


def active() -> bool:
    """Tell whether there is anything to hide."""
    return bool(_here.forms)


def mask(text: str) -> str:
    """Return the text with every secret value replaced by ***."""
    return _here.mask(text)


def mask_json(text: str) -> str:
    """Return JSON text in which every secret value inside a string or a key is replaced by ***.

    Text without secrets is returned as the same object. Raises Unstorable for a number that is a secret: no text can
    take its place.
    """
    if not any(form in text for form in _here.json_forms()):
        return text
    masked = json.dumps(_mask_value(json.loads(text), ""), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        masked.encode()
    except UnicodeEncodeError:  # a lone surrogate: only ASCII escapes can carry it
        return json.dumps(json.loads(masked), separators=(",", ":"))
    return masked


def _mask_value(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_mask_value(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        if len(value) == 1 and "$secret" in value:  # a reference holds the name, which is not secret
            return value
        return {mask(key): _mask_value(item, f"{path}.{mask(key)}") for key, item in value.items()}
    if isinstance(value, (int, float)) and abs(value) >= _LIKELY_OTHERS and mask(str(abs(int(value)))) == MASK:
        problem = "is the value of a secret or a sensitive parameter, which is never stored: leave it out"
        raise Unstorable(problem, path)
    return value


class StreamMask:
    """Masks text that arrives in pieces: the result is the same wherever the pieces were cut."""

    def __init__(self, masker: Masker = _here) -> None:
        self._masker = masker
        self._held = ""

    def feed(self, text: str) -> str:
        """Add a piece and return what can be shown by now."""
        pattern = self._masker.pattern()
        if pattern is None:
            return text
        text = self._held + text
        shown, at = [], 0
        while True:
            stop = self._open_end(text, at)
            match = pattern.search(text, at)
            if match is None or match.start() >= stop:
                break
            shown += [text[at : match.start()], MASK]
            at = match.end()
        self._held = text[stop:]
        return "".join([*shown, text[at:stop]])

    def flush(self) -> str:
        """Return what was held back, because nothing follows."""
        text, self._held = self._held, ""
        return self._masker.mask(text)

    def _open_end(self, text: str, at: int) -> int:
        """Return where, from `at` on, the first end of the text lies that more text could complete to a secret."""
        forms = self._masker.forms
        for start in range(max(at, len(text) - len(forms[0]) + 1), len(text)):
            end = text[start:]
            if any(form.startswith(end) and form != end for form in forms):
                return start
        return len(text)
