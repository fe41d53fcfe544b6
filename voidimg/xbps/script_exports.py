"""Reads what a generated INSTALL script exports for its triggers, without running anything. Pure.

Void's package builder writes the script (void-packages,
``common/hooks/post-install/04-create-xbps-metadata-scripts.sh``): a header, one ``export
NAME="VALUE"`` for each variable of the template that a trigger reads, one ``case`` of the action
with the calls of the triggers, the package's own text, ``exit 0``. A value may have several lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HEADER = re.compile(
    r'^TRIGGERSDIR="\./(?:usr/libexec/xbps-triggers|var/db/xbps/triggers)"$', re.MULTILINE
)
"""The second is where old packages call them; xbps-triggers still has a link there."""

_EXPORT = re.compile(r'^export ([A-Za-z_][A-Za-z0-9_]*)="([^"]*)"[ \t]*$', re.MULTILINE)
_CALL = re.compile(r"\$\{TRIGGERSDIR\}/([\w.+-]+) run (\w+-\w+)(?: \$\{\w+\})*")
_OTHER = re.compile(r"(?:pre|post)\)|;;|\[ \$\? -ne 0 \] && exit \$\?|")
_CASE, _END = 'case "${ACTION}" in', "esac"
_EXPANDED = re.compile(r"[$`\\*?\[]")
"""What the shell would change in a value, or in words that are split from it."""

_CONFIGURED = "post-install"

MAX_WORDS = 4096
"""Of more words in a variable nothing is read: no template has a tenth of them."""


@dataclass(frozen=True, slots=True)
class GeneratedScript:
    """What a generated INSTALL script says before any of it is run.

    Attributes:
        exports: the variables, by name, as the triggers see them.
        unread: names of variables whose value only a shell can tell.
        triggers: the triggers that are called after the package was unpacked.
        own: the package's own text, which runs after the triggers.
    """

    exports: Mapping[str, str]
    unread: frozenset[str]
    triggers: frozenset[str]
    own: str

    def words(self, variable: str, trigger: str) -> tuple[str, ...]:
        """The words of a variable that `trigger` is called with; none when it is not called."""
        if trigger not in self.triggers:
            return ()
        words = (self.value(variable) or "").split(maxsplit=MAX_WORDS)
        return tuple(words) if len(words) <= MAX_WORDS else ()

    def value(self, variable: str) -> str | None:
        """The value of a variable; None when it has none, or one that only a shell can tell."""
        return None if variable in self.unread else self.exports.get(variable)


def parse_generated(script: bytes) -> GeneratedScript | None:
    """What the INSTALL `script` exports; None when Void's package builder did not write it.

    Strict: only lines of exactly the generated forms count, and only where they stand in a
    generated script. Linear in the length of the script.
    """
    text = script.decode("utf-8", "surrogateescape")
    header = _HEADER.search(text)
    if header is None:
        return None
    body = text[header.end() :]
    exported, calls, own = _parts(body)
    if calls is None:
        return GeneratedScript({}, frozenset(), frozenset(), body)
    exports = {match[1]: match[2] for match in _EXPORT.finditer(exported)}
    return GeneratedScript(
        exports,
        frozenset(name for name, value in exports.items() if _EXPANDED.search(value)),
        frozenset(trigger for trigger, target in calls if target == _CONFIGURED),
        own,
    )


def _parts(body: str) -> tuple[str, tuple[tuple[str, str], ...] | None, str]:
    """The text of the exports, the calls of triggers, the package's own text.

    There are no calls when the first ``case`` is not one that the generator writes.
    """
    exported, case, rest = body.partition(f"\n{_CASE}\n")
    block, end, own = rest.partition(f"\n{_END}\n")
    if not case or not end:
        return "", None, body
    calls = []
    for line in block.split("\n"):
        stripped = line.strip()
        call = _CALL.fullmatch(stripped)
        if call is not None:
            calls.append((call[1], call[2]))
        elif _OTHER.fullmatch(stripped) is None:
            return "", None, body
    return exported, tuple(calls), own
