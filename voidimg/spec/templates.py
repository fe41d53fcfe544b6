"""Jinja2 templates of files that go into images: found, checked and rendered.

In every stage a template knows `recipe` (the `Recipe`) and `date` (as in file names). The image
stage has `partitions` too, by name, each with `number`, `uuid`, `partuuid`, `mount`, `filesystem`,
`fstab_options` and `grows` (whether it was given the rest); `cmdline`, the kernel command line
without ``root=``; `kernels`, the newest first, each with `release` and, below ``/boot``, its `file`
and its `initramfs` (None where it has none); and `grub`, None without it, else with
`timeout_seconds`, `serial` (None, or `unit` and `speed`), `uuid` of the filesystem that holds
``/boot``, `prefix`, what that is called there, and `root_uuid`. A name that is not there is an
error, never an empty text.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from voidimg.errors import SpecError, storing
from voidimg.foreign import MAX_DOCUMENT_BYTES, read_regular
from voidimg.spec.deadline import OutOfTime, deadline
from voidimg.spec.own_directory import leads_out, walk_below
from voidimg.spec.problems import problem
from voidimg.spec.stages import CONTENT_STAGES, StageName
from voidimg.spec.tree import Node
from voidimg.suggest import did_you_mean
from voidimg.units import format_size

if TYPE_CHECKING:
    from jinja2 import BaseLoader, Environment

_SECONDS = 20.0
"""What rendering may take; real templates take milliseconds, on a busy host too."""
_MAX_BITS = 1024
"""Of whole numbers: larger ones take minutes in one operation, which nobody can interrupt."""
_MAX_PRECISION = 20
_MEMORY_BYTES = 256 * 2**20
"""What rendering may take; the files of an image are written from some KiB."""

_EVERYWHERE = frozenset({"recipe", "date"})
KNOWN_NAMES: dict[StageName, frozenset[str]] = {
    "rootfs": _EVERYWHERE,
    "platformfs": _EVERYWHERE,
    "image": _EVERYWHERE | {"partitions", "cmdline", "kernels", "grub"},
    "live": _EVERYWHERE,
    "wsl": _EVERYWHERE,
}
"""Stage -> the names a template of it can use."""


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates that a recipe can use, read once: name -> bytes in UTF-8.

    `places` says of each name which file it came from, for errors alone: where a recipe is made
    need not be where its files are.
    """

    contents: Mapping[str, bytes]
    places: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, directories: Sequence[Path]) -> Templates:
        """All templates of `directories`; the first directory that has a name wins.

        Raises:
            StoreError: a directory or file cannot be read.
        """
        found = template_files(directories)
        contents = {}
        for name, path in found.items():
            with storing(path, "read the template"):
                contents[name] = read_regular(path, MAX_DOCUMENT_BYTES)
        return cls(contents, {name: str(path) for name, path in found.items()})

    def render(self, name: str, context: Mapping[str, object]) -> str:
        """The text of the template `name` with `context`.

        Lines that hold only a block (``{% ... %}``) leave nothing behind, and the last newline
        stays. A model in `context` is seen as plain values: whoever wrote a template can read
        what is in it and call nothing of ours.

        Raises:
            SpecError: there is no such template, it is broken, it uses what `context` lacks, or
                it does what no template may.
        """
        from jinja2 import TemplateError, TemplateSyntaxError

        if name not in self.contents:
            raise SpecError(
                f"there is no template {name!r}",
                code="TEMPLATE",
                hint=did_you_mean(name, self.contents),
            )
        values = {key: _plain(value) for key, value in context.items()}
        try:
            with _little_memory(), deadline(_SECONDS):
                text = self._environment().get_template(name).render(values)
        except TemplateSyntaxError as error:
            broken = error.name or name
            raise _syntax_error(
                broken, error.message, self.places.get(broken), error.lineno
            ) from error
        except OutOfTime:
            raise SpecError(
                f"template {name}: it takes more than {_SECONDS:.0f} s",
                code="TEMPLATE-VALUE",
                where=self.places.get(name),
                hint="its loops do not end, or nearly so",
            ) from None
        except MemoryError as error:
            raise SpecError(
                f"template {name}: it needs more than {format_size(_MEMORY_BYTES)} of memory",
                code="TEMPLATE-VALUE",
                where=self.places.get(name),
            ) from error
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            raise SpecError(
                f"template {name}: {error}",
                code="TEMPLATE-VALUE",
                where=self.places.get(name),
            ) from error
        return text

    def below(self, directory: str) -> dict[str, bytes]:
        """The templates whose names begin with `directory`, by the rest of their names."""
        return {
            name.removeprefix(directory): content
            for name, content in self.contents.items()
            if name.startswith(directory)
        }

    def _environment(self) -> Environment:
        from jinja2 import FunctionLoader

        def load(name: str) -> str | None:
            content = self.contents.get(name)
            return None if content is None else _text(content, self.places.get(name, name))

        return _environment(FunctionLoader(load))


@contextmanager
def _little_memory() -> Iterator[None]:
    """While the block runs, this process cannot take much more memory than it has.

    A template of a line can make a text of a terabyte, in more ways than can be forbidden.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = pages * resource.getpagesize() + _MEMORY_BYTES
    if soft != resource.RLIM_INFINITY and soft <= most:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _plain(value: object) -> object:
    """`value` with models as objects that have their values and no methods."""
    if isinstance(value, BaseModel):
        names = [*type(value).model_fields, *_properties(type(value))]
        return SimpleNamespace(**{name: _plain(getattr(value, name)) for name in names})
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_plain(one) for one in value)
    return value


def _properties(model: type[BaseModel]) -> list[str]:
    """What follows from the values of `model`, as its own classes define it."""
    return [
        name
        for one in model.__mro__
        if one.__module__.startswith("voidimg.")
        for name, found in vars(one).items()
        if isinstance(found, property) and not name.startswith("_")
    ]


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"the template is not UTF-8: byte {error.start} of it begins no character",
            code="TEMPLATE-ENCODING",
            where=where,
        ) from error


def check_templates(node: Node, directories: Sequence[Path]) -> Iterator[SpecError]:
    """What is wrong with the templates that `node` (a recipe, platform or profile) names."""
    known = template_files(directories)
    for stage in CONTENT_STAGES:
        for place in _templates_of(node.table[stage]) if stage in node.table else ():
            name = str(place.content)
            if name in known:
                yield from _check_template(name, known[name], stage)
            else:
                hint = did_you_mean(name, known)
                what = f"there is no template {name!r}"
                if name in _found(directories):
                    hint = "put the file itself there"
                    what = f"{name!r} is a link that leaves the directory of templates"
                yield problem(place.origin, what, code="TEMPLATE", hint=hint)


def _templates_of(stage: Node) -> Iterator[Node]:
    for name in ("files", "hooks"):
        for element in stage.table[name].items if name in stage.table else ():
            if "template" in element.table:
                yield element.table["template"]


def template_files(directories: Sequence[Path]) -> dict[str, Path]:
    """Every template by name with its file; the first directory that has one wins.

    What a link leads to outside of them is none of them.

    Raises:
        StoreError: a directory cannot be read.
    """
    return {
        name: path
        for name, (path, directory) in _found(directories).items()
        # Links to directories were not followed: only these two can be links.
        if not (path.is_symlink() or directory.is_symlink()) or not leads_out(path, directory)
    }


def _found(directories: Sequence[Path]) -> dict[str, tuple[Path, Path]]:
    """Every file in `directories` by its name there: the file, and the directory."""
    found: dict[str, tuple[Path, Path]] = {}
    for directory in directories:
        if not directory.is_dir():
            continue
        with storing(directory, "read the templates in"):
            for path in walk_below(directory):
                if path.is_file():
                    name = path.relative_to(directory).as_posix()
                    found.setdefault(name, (path, directory))
    return found


def _check_template(name: str, path: Path, stage: StageName) -> Iterator[SpecError]:
    from jinja2 import TemplateSyntaxError, meta

    try:
        with storing(path, "read the template"):
            content = read_regular(path, MAX_DOCUMENT_BYTES)
        tree = _environment(None).parse(_text(content, str(path)))
    except TemplateSyntaxError as error:
        yield _syntax_error(name, error.message, str(path), error.lineno)
        return
    except SpecError as error:
        yield error
        return
    for unknown in sorted(meta.find_undeclared_variables(tree) - KNOWN_NAMES[stage]):
        yield SpecError(
            f"template {name}: the {stage} stage has no {unknown!r}",
            code="TEMPLATE-NAME",
            where=str(path),
            hint=did_you_mean(unknown, KNOWN_NAMES[stage]),
        )


def _syntax_error(name: str, message: str | None, path: str | None, line: int) -> SpecError:
    where = None if path is None else f"{path}:{line}:1"
    return SpecError(f"template {name}: {message}", code="TEMPLATE-SYNTAX", where=where)


def _environment(loader: BaseLoader | None) -> Environment:
    """Jinja2 in its sandbox: a stranger's template reads what it is given and nothing else."""
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        """Without the operators by which a short template makes a text that fills memory."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, _context: Any, operator: str, left: Any, right: Any) -> Any:
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            if operator == "**" or not numbers:
                raise SecurityError(
                    f"{operator!r} is not for templates, but for products of numbers"
                )
            product = left * right
            if isinstance(product, int) and product.bit_length() > _MAX_BITS:
                raise SecurityError("templates have no numbers of so many digits")
            return product

    sandbox = Sandbox(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # What comes out must be the same each time.
    del sandbox.globals["lipsum"], sandbox.filters["random"]
    # And these search texts in ways that take very long in one operation.
    del sandbox.filters["urlize"], sandbox.filters["wordwrap"]
    rounded = sandbox.filters["round"]

    def few_digits(value: float, precision: int = 0, method: Any = "common") -> Any:
        if abs(precision) > _MAX_PRECISION:
            raise SecurityError("templates do not round to so many digits")
        return rounded(value, precision, method)

    sandbox.filters["round"] = few_digits
    return sandbox
