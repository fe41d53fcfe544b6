"""Makes the pages of `docs/` that follow from the code: `python -m tests.documents` writes them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.reference import reference_page
from voidimg.errors import VoidimgError
from voidimg.lint.lint import lint_checks
from voidimg.lint.table import CHECKS
from voidimg.xbps.resolve.differences import DIFFERENCES

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"

_CODE = re.compile(r"[A-Z][A-Z0-9]+(?:-[A-Z0-9]+)*")


def _error_classes(base: type[VoidimgError]) -> Iterator[type[VoidimgError]]:
    """`base` and every error made from it, in whatever module."""
    for path in sorted((PROJECT / "voidimg").rglob("*.py")):
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        if not name.endswith(("__init__", "__main__", "sandbox.worker")):
            importlib.import_module(name)
    pending = [base]
    while pending:
        made = pending.pop()
        pending += made.__subclasses__()
        yield made


CLASSES = {made.__name__: made for made in _error_classes(VoidimgError)}


def differences_page() -> str:
    """Where the package engine is deliberately stricter than xbps."""
    lines = [
        "# Where voidimg differs from xbps",
        "",
        "The package engine behaves as xbps 0.60.7 does, recorded in `tests/vectors/xbps`, but for",
        "these differences. Each is tested against the recordings: what is listed differs, and",
        "nothing else does. This page is made from `voidimg/xbps/resolve/differences.py`.",
        "",
        "| difference | xbps | voidimg | why |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{one.name}` | {_cell(one.tool)} | {_cell(one.ours)} | {_cell(one.why)} |"
        for one in DIFFERENCES
    ]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every code that an error of the library can have."""
    lines = [
        "# Error codes",
        "",
        "An error has a stable code, and its class an exit status. `…` stands for what the error",
        "is about. This page is made from the code.",
        "",
        "| code | exit status | what is wrong |",
        "|---|---|---|",
    ]
    found: dict[str, tuple[int, set[str]]] = {}
    modules = {path: ast.parse(path.read_text()) for path in (PROJECT / "voidimg").rglob("*.py")}
    makers = {_dotted(path): dict(_makers_of(module)) for path, module in modules.items()}
    for path, module in sorted(modules.items()):
        known = makers[_dotted(path)] | {
            name.name: makers[node.module][name.name]
            for node in ast.walk(module)
            if isinstance(node, ast.ImportFrom) and node.module in makers
            for name in node.names
            if name.name in makers[node.module]
        }
        told = [*_errors_of(module), *_made_errors_of(module, known), *_chosen_errors_of(module)]
        for code, status, what in told:
            found.setdefault(code, (status, set()))[1].add(what)
    for code, (status, texts) in sorted(found.items(), key=lambda item: (item[1][0], item[0])):
        lines.append(f"| `{code}` | {status} | {_cell('; '.join(sorted(texts)))} |")
    return "\n".join(lines) + "\n"


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts)


def _errors_of(module: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Code, exit status and text of each error that is made with a literal code."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        made = CLASSES.get(node.func.id)
        if made is None:
            continue
        for keyword in node.keywords:
            if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                code = _text(keyword.value)
                yield f"{made.family}-{code}", made.exit_status, _text(node.args[0])


@dataclass(frozen=True)
class _Maker:
    """A function that makes an error whose code is, or ends with, one of its arguments."""

    made: type[VoidimgError]
    before: str
    position: int
    name: str


def _makers_of(module: ast.Module) -> Iterator[tuple[str, _Maker]]:
    """The name of each function that makes errors for others, and what it makes."""
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        names = [one.arg for one in function.args.args if one.arg != "self"]
        for node in ast.walk(function):
            made = CLASSES.get(getattr(getattr(node, "func", None), "id", ""))
            if not isinstance(node, ast.Call) or made is None:
                continue
            for value in [one.value for one in node.keywords if one.arg == "code"]:
                parts = value.values if isinstance(value, ast.JoinedStr) else [value]
                last = parts[-1].value if isinstance(parts[-1], ast.FormattedValue) else parts[-1]
                if isinstance(last, ast.Name) and last.id in names:
                    before = "".join(map(_text, parts[:-1]))
                    yield function.name, _Maker(made, before, names.index(last.id), last.id)


def _made_errors_of(
    module: ast.Module, makers: dict[str, _Maker]
) -> Iterator[tuple[str, int, str]]:
    """Code, exit status and text of each error that is made through one of `makers`."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        maker = makers.get(name)
        if maker is None:
            continue
        given = {one.arg: one.value for one in node.keywords}
        code = dict(enumerate(node.args)).get(maker.position, given.get(maker.name))
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            other = node.args[1 if maker.position == 0 else 0 :]
            text = _text(other[0]) if other else "…"
            yield f"{maker.made.family}-{maker.before}{code.value}", maker.made.exit_status, text


def _chosen_errors_of(module: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Code, exit status and text of each error whose code its function chooses among several."""
    tables = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            made = CLASSES.get(getattr(getattr(node, "func", None), "id", ""))
            if not isinstance(node, ast.Call) or made is None or not node.args:
                continue
            for value in [one.value for one in node.keywords if one.arg == "code"]:
                for code in _choices(value, function, tables):
                    yield f"{made.family}-{code}", made.exit_status, _text(node.args[0])


def _choices(
    value: ast.expr, function: ast.FunctionDef, tables: dict[str, ast.expr]
) -> Iterator[str]:
    """The codes that `value` can be: named in it, where it is assigned, or in a table it is of."""
    sources: list[ast.expr] = [value] if isinstance(value, ast.IfExp) else []
    if isinstance(value, ast.Name):
        sources += [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and value.id in {getattr(name, "id", "") for each in node.targets
                             for name in ast.walk(each)}
        ]  # fmt: skip
    for source in sources:
        for part in ast.walk(source):
            table = tables.get(part.id) if isinstance(part, ast.Name) else None
            for found in [part] if table is None else ast.walk(table):
                if isinstance(found, ast.Constant) and _CODE.fullmatch(str(found.value)):
                    yield str(found.value)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else repr(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def checks_page() -> str:
    """Every check of `voidimg lint`."""
    deep = {check.id for check in CHECKS if check.deep}
    lines = [
        "# Checks of `voidimg lint`",
        "",
        "Each is asked of the artifacts that it fits: the first ones of all that hold a system,",
        "`disk-`, `fat-` and `ext4-` of disk images, `pi-` of PLATFORMFS tarballs and images for",
        "the Raspberry Pi, `iso-` of live ISOs, `set-` of directories. An error ends the command",
        "with exit status 16. What ends with (deep) reads every byte; `--quick` leaves it out, and",
        "says so. This page is made from the code.",
        "",
        "| check | severity | what is true of a sound artifact |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {severity} | {_cell(says)}{' (deep)' if name in deep else ''} |"
        for name, severity, says in lint_checks()
    ]
    return "\n".join(lines) + "\n"


PAGES = {
    "checks.md": checks_page,
    "differences.md": differences_page,
    "errors.md": errors_page,
    "reference.md": reference_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
