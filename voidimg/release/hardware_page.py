"""The page of results: what people saw on real machines, and apart from it what QEMU booted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from voidimg.release.hardware import ReadResult
from voidimg.release.manifest import Manifest
from voidimg.terminal_text import printable

PAGE_NAME = "index.html"

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.3em .6em;border-bottom:1px solid #ccc;vertical-align:top}"
    ".fails,.failed{color:#a00;font-weight:bold}"
)


def results_page(manifest: Manifest, results: Sequence[ReadResult]) -> bytes:
    """The page of the set of `manifest`, in UTF-8; it needs no other file and runs nothing.

    `results` are those that count. What they say was written by others: it is escaped.
    """
    rows = sorted(
        (
            one.result.artifact,
            one.result.machine,
            one.result.day,
            one.result.result,
            _tester(one),
            one.result.note,
        )
        for one in results
    )
    head = ("image", "machine", "day", "result", "tried by", "note")
    boots = sorted(
        (one.name, str(boot), boot.verdict) for one in manifest.artifacts for boot in one.smoke
    )
    title = f"Void Linux image set of {manifest.date}: where it was seen to run"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{_shown(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_shown(title)}</h1>",
        "<h2>On real machines</h2>",
        *(_table(head, rows, 3) if rows else ["<p>Nobody sent a result that counts.</p>"]),
        "<h2>Under QEMU</h2>",
        *(
            _table(("image", "boot", "verdict"), boots, 2)
            if boots
            else ["<p>Nothing was booted.</p>"]
        ),
        "</body></html>",
    ]
    return ("\n".join(parts) + "\n").encode()


def _tester(one: ReadResult) -> str:
    name = "" if one.tester is None else one.tester.source.rpartition("/")[2]
    named = name.removesuffix(".pub") if name.endswith(".pub") else ""
    return f"{named} ({one.key_id})" if named else one.key_id


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], marked: int) -> list[str]:
    """A table; the column `marked` has its own word as its class."""
    lines = ["<table>", f"<tr>{''.join(f'<th>{_shown(one)}</th>' for one in head)}</tr>"]
    for row in rows:
        cells = "".join(
            f'<td class="{_shown(text)}">{_shown(text)}</td>'
            if index == marked
            else f"<td>{_shown(text)}</td>"
            for index, text in enumerate(row)
        )
        lines.append(f"<tr>{cells}</tr>")
    return [*lines, "</table>"]


def _shown(text: str) -> str:
    return escape(printable(text), quote=True)
