"""Jinja2 templates of files that go into images: found, checked and rendered.

In every stage a template knows `recipe` (the `Recipe`) and `date` (as in file names). The image
stage has `partitions` too, by name, each with `number`, `uuid`, `partuuid`, `mount`, `filesystem`
and `fstab_options`, and `cmdline`, the kernel command line without ``root=``. A name that is not
there is an error, never an empty text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from voidimg.errors import SpecError
from voidimg.spec.problems import did_you_mean, problem
from voidimg.spec.stage_model import StageName
from voidimg.spec.tree import Node

if TYPE_CHECKING:
    from jinja2 import Environment

_STAGES: tuple[StageName, ...] = ("rootfs", "platformfs", "image", "live", "wsl")
_EVERYWHERE = frozenset({"recipe", "date"})
KNOWN_NAMES: dict[StageName, frozenset[str]] = {
    "rootfs": _EVERYWHERE,
    "platformfs": _EVERYWHERE,
    "image": _EVERYWHERE | {"partitions", "cmdline"},
    "live": _EVERYWHERE,
    "wsl": _EVERYWHERE,
}
"""Stage -> the names a template of it can use."""


def render_template(directories: Sequence[Path], name: str, context: Mapping[str, object]) -> str:
    """The text of the template `name` with `context`.

    Lines that hold only a block (``{% ... %}``) leave nothing behind, and the last newline stays.

    Raises:
        SpecError: there is no such template, it is broken, or it uses what `context` lacks.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    known = template_files(directories)
    if name not in known:
        raise SpecError(
            f"there is no template {name!r}", code="TEMPLATE", hint=did_you_mean(name, known)
        )
    environment = _environment(directories)
    try:
        return environment.get_template(name).render(context)
    except TemplateSyntaxError as error:
        raise _syntax_error(name, error.message, known.get(error.name or name), error.lineno) from (
            error
        )
    except TemplateError as error:
        raise SpecError(
            f"template {name}: {error.message}", code="TEMPLATE-VALUE", where=str(known[name])
        ) from error


def check_templates(node: Node, directories: Sequence[Path]) -> Iterator[SpecError]:
    """What is wrong with the templates that `node` (a recipe, platform or profile) names."""
    known = template_files(directories)
    for stage in _STAGES:
        for place in _templates_of(node.table[stage]) if stage in node.table else ():
            name = str(place.content)
            if name in known:
                yield from _check_template(name, known[name], directories, stage)
            else:
                hint = did_you_mean(name, known)
                what = f"there is no template {name!r}"
                yield problem(place.origin, what, code="TEMPLATE", hint=hint)


def _templates_of(stage: Node) -> Iterator[Node]:
    for name in ("files", "hooks"):
        for element in stage.table[name].items if name in stage.table else ():
            if "template" in element.table:
                yield element.table["template"]


def template_files(directories: Sequence[Path]) -> dict[str, Path]:
    """Every template by name with its file; the first directory that has one wins."""
    found: dict[str, Path] = {}
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                found.setdefault(path.relative_to(directory).as_posix(), path)
    return found


def _check_template(
    name: str, path: Path, directories: Sequence[Path], stage: StageName
) -> Iterator[SpecError]:
    from jinja2 import TemplateSyntaxError, meta

    try:
        tree = _environment(directories).parse(path.read_text("utf-8"))
    except TemplateSyntaxError as error:
        yield _syntax_error(name, error.message, path, error.lineno)
        return
    for unknown in sorted(meta.find_undeclared_variables(tree) - KNOWN_NAMES[stage]):
        yield SpecError(
            f"template {name}: the {stage} stage has no {unknown!r}",
            code="TEMPLATE-NAME",
            where=str(path),
            hint=did_you_mean(unknown, KNOWN_NAMES[stage]),
        )


def _syntax_error(name: str, message: str | None, path: Path | None, line: int) -> SpecError:
    where = None if path is None else f"{path}:{line}:1"
    return SpecError(f"template {name}: {message}", code="TEMPLATE-SYNTAX", where=where)


def _environment(directories: Sequence[Path]) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([str(directory) for directory in directories]),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  configuration files, where HTML's escapes would be wrong
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
