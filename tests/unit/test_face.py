"""The public face: one list of names, which tools, type checkers and the program itself read."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

import voidimg

STUB = Path(voidimg.__file__).with_suffix(".pyi")
NAMES = sorted(voidimg.__all__)
FACE = {name: getattr(voidimg, name) for name in NAMES}


def test_the_list_has_one_name_a_line() -> None:
    """What Python reads of the stub, and what the program reads line by line, are the same."""
    found = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            (alias,) = node.names
            assert alias.asname == alias.name, alias.name
            assert alias.name not in found, alias.name
            found[alias.name] = node.module
    assert sorted(found) == NAMES
    for name, home in found.items():
        assert getattr(sys.modules[str(home)], name) is FACE[name], name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        voidimg.nothing  # type: ignore[attr-defined]  # noqa: B018


def functions_of(name: str, made: object) -> Iterator[tuple[str, Callable[..., object]]]:
    """What can be called of a public name, or be read of it: functions, methods, properties."""
    if inspect.isfunction(made):
        yield name, made
    if not isinstance(made, type):
        return
    yield name, made  # its fields
    for key, value in vars(made).items():
        function = plain_function(value)
        if function is not None and (key == "__init__" or not key.startswith("_")):
            yield f"{name}.{key}", function


def plain_function(value: object) -> Callable[..., object] | None:
    """The function behind a method or property."""
    match value:
        case classmethod() | staticmethod():
            return value.__func__
        case property():
            return value.fget
        case cached_property():
            return value.func
    return value if inspect.isfunction(value) else None


def hints_of(made: Callable[..., object]) -> Iterator[object]:
    """Its type hints; names that its module imports for type checkers only are the public ones."""
    here = vars(sys.modules[made.__module__])
    missing = {name: one for name, one in FACE.items() if name not in here}
    yield from typing.get_type_hints(made, localns=missing).values()


def classes_in(hint: object) -> Iterator[type]:
    """The classes that a type hint mentions."""
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        yield hint
    for inner in typing.get_args(hint):
        for one in inner if isinstance(inner, list) else [inner]:
            yield from classes_in(one)


@pytest.mark.parametrize("name", NAMES)
def test_every_type_of_a_public_name_is_public(name: str) -> None:
    """Who calls it, can name what it takes and gives, without looking into the rooms."""
    public = {id(made) for made in FACE.values()}
    hidden = [
        f"{place}: {one.__module__}.{one.__qualname__}"
        for place, made in functions_of(name, FACE[name])
        for hint in hints_of(made)
        for one in classes_in(hint)
        if one.__module__.startswith("voidimg") and id(one) not in public
    ]
    assert hidden == []


def test_the_module_is_the_command() -> None:
    """``python -m voidimg`` is what ``voidimg`` is."""
    words = [sys.executable, "-m", "voidimg", "--version"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert voidimg.__version__ in ended.stdout


def test_nothing_heavy_is_loaded_with_the_face() -> None:
    """An import of the face loads no room, and neither pydantic nor cryptography."""
    program = (
        "import sys, voidimg; "
        "print([name for name in sys.modules if name.startswith('voidimg.')"
        " or name in ('pydantic', 'cryptography', 'click')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
