"""Imports point one way (the pipeline's order), and modules keep to the project's words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import voidimg

PACKAGE = Path(voidimg.__file__).parent

FOUNDATION = {
    "arch",
    "arguments",
    "artifact_names",
    "atomic",
    "errors",
    "events",
    "file_locks",
    "foreign",
    "host_packages",
    "identity",
    "programs",
    "run",
    "suggest",
    "terminal_text",
    "units",
    "version",
    "work_filesystem",
}
_ORDER = (
    "formats",
    "tree",
    "spec",
    "fetch",
    "xbps",
    "sandbox",
    "rootfs",
    "disk",
    "live",
    "catalog",
    "signing",
    "supply",
    "artifacts",
    "pipeline",
    "inspection",
    "flashing",
    "lint",
    "smoke",
    "release",
    "diagnosis",
    "dib",
)
"""The house from the ground up; a part may import those before it."""

_BESIDE = {
    frozenset(pair)
    for pair in (
        ("formats", "tree"),
        ("diagnosis", "lint"),
        ("diagnosis", "release"),
        ("spec", "fetch"),
        ("xbps", "sandbox"),
        ("disk", "signing"),
        ("catalog", "signing"),
        ("live", "signing"),
        ("inspection", "pipeline"),
        ("lint", "smoke"),
        ("lint", "pipeline"),
        ("smoke", "pipeline"),
    )
}
"""Parts that stand side by side: neither imports the other."""

ALLOWED = {
    part: {other for other in _ORDER[: index + 1] if frozenset({part, other}) not in _BESIDE}
    for index, part in enumerate(_ORDER)
} | {"": set(_ORDER), "cli": {"cli", ""}}
"""Part -> the parts it may import; "" is the public face `voidimg/__init__.py`."""

NOT_OUR_WORDS = {"manager", "helper", "util", "utils", "data", "info", "process", "handler"}


def part_of(path: Path) -> str:
    """The part a file belongs to: its subpackage, or the module's own name."""
    relative = path.relative_to(PACKAGE)
    if len(relative.parts) > 1:
        return relative.parts[0]
    return {"__init__": "", "__main__": "cli"}.get(relative.stem, relative.stem)


def imports_of(path: Path) -> set[str]:
    """The parts of voidimg that the file imports, wherever in it; "" for the face itself."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "voidimg":
                parts = {child.name for child in PACKAGE.iterdir() if child.is_dir()}
                names = [
                    f"voidimg.{alias.name}" if alias.name in parts else "voidimg"
                    for alias in node.names
                ]
        found |= {
            name.partition("voidimg")[2].lstrip(".").partition(".")[0]
            for name in names
            if name == "voidimg" or name.startswith("voidimg.")
        }
    return found


def test_imports_point_one_way() -> None:
    """No part imports one that is built on it; the foundation imports only itself."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        part = part_of(path)
        allowed = FOUNDATION | (set() if part in FOUNDATION else ALLOWED[part])
        if part == "cli":
            allowed = ALLOWED["cli"]
        wrong += [f"{path.relative_to(PACKAGE)} imports {name or 'voidimg'}"
                  for name in sorted(imports_of(path) - allowed)]  # fmt: skip
    assert wrong == []


def test_an_import_in_the_wrong_direction_would_be_seen(tmp_path: Path) -> None:
    """The walk finds imports in functions too, whatever their form."""
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from voidimg.disk.image import x\n    import voidimg.release\n")
    assert imports_of(file) == {"disk", "release"}


def test_the_page_of_the_architecture_shows_this_house() -> None:
    """`docs/architecture.md` has the same rooms in the same order, and no other."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    shown = [re.findall(r"`([a-z0-9_]+)`", row.split("|")[1]) for row in rows]
    assert shown[0] == sorted(FOUNDATION)
    assert [room for row in shown[1:] for room in row] == [*_ORDER, "cli"]


def test_module_names_use_the_words_of_the_field() -> None:
    """No module is called after something that could be anything."""
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert names & NOT_OUR_WORDS == set()


def test_every_module_says_its_reason_in_its_first_line() -> None:
    """Each module begins with a docstring."""
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []
