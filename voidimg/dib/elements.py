"""Elements of diskimage-builder that come with voidimg, and a check of them by its own resolver.

An element is a directory: ``element-deps`` and ``element-provides`` name others, the directories of
the phases hold scripts whose names begin with two digits and ``-``, ``bin`` goes into the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import LayoutError, ToolError, UsageError
from voidimg.run import run

ELEMENT = "void"
_PHASES = (
    "root.d",
    "extra-data.d",
    "pre-install.d",
    "install.d",
    "post-install.d",
    "post-root.d",
    "block-device.d",
    "pre-finalise.d",
    "finalise.d",
    "cleanup.d",
)
_SCRIPT = re.compile(r"\d\d-[a-z0-9][a-z0-9-]*")
_NOT_FOR_RUNIT = ("dib-init-system",)
"""Elements that stop with an error where the init system is none that they know."""
_NEEDS_PYTHON = ("package-installs", "pkg-map", "svc-map")


@dataclass(frozen=True, slots=True)
class ResolvedElements:
    """What diskimage-builder makes of some elements.

    Attributes:
        elements: name and directory of each, dependencies too, by name.
        warnings: what will not work on Void, in sentences.
    """

    elements: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def dib_elements() -> Path:
    """The directory to be named in ``ELEMENTS_PATH``."""
    return Path(__file__).parent / "elements"


def check_dib_elements(names: Sequence[str] = ()) -> ResolvedElements:
    """Ask diskimage-builder's own resolver for the element of Void and the elements `names`.

    Raises:
        ToolError: diskimage-builder or bash is not installed.
        UsageError: there is no such element, or two of them are systems.
        LayoutError: a script of the element is damaged.
    """
    for problem in _script_problems(dib_elements() / ELEMENT):
        raise problem
    try:
        import diskimage_builder
        from diskimage_builder import element_dependencies as theirs
    except ImportError as error:
        raise ToolError(
            "diskimage-builder is not installed",
            code="MISSING",
            where="diskimage-builder",
            hint="install it: pip install 'voidimg[dib]'",
        ) from error
    own = Path(next(iter(diskimage_builder.__path__))) / "elements"
    wanted = list(dict.fromkeys((ELEMENT, *names)))
    try:
        found = theirs.get_elements(wanted, f"{dib_elements()}:{own}")
    except (
        theirs.MissingElementException,
        theirs.AlreadyProvidedException,
        theirs.MissingOSException,
    ) as error:
        raise UsageError(
            f"diskimage-builder does not take {', '.join(wanted)} together: "
            f"{error or 'one of them is a system already'}",
            code="DIB-ELEMENTS",
            where=wanted[-1],
            hint="name other elements; void itself is the operating system",
        ) from error
    elements = tuple(sorted((str(name), str(place)) for name, place in found))
    return ResolvedElements(elements, tuple(_warnings([name for name, _ in elements])))


def _warnings(names: Sequence[str]) -> Iterator[str]:
    for name in _NOT_FOR_RUNIT:
        if name in names:
            yield (
                f"{name} knows no runit and stops the build: leave out base (disk-image-create -n),"
                " growroot, openssh-server, simple-init and runtime-ssh-host-keys, which the ROOTFS"
                " brings itself"
            )
    for name in _NEEDS_PYTHON:
        if name in names:
            yield f"{name} runs Python in the target, which is installed over the network first"


def _script_problems(element: Path) -> Iterator[LayoutError]:
    """What is wrong with the scripts of the element in the directory `element`."""
    scripts = [path for phase in _PHASES for path in sorted((element / phase).glob("*"))]
    for path in scripts:
        if _SCRIPT.fullmatch(path.name) is None:
            yield _damaged(path, "its name would not be found: two digits, a hyphen, small letters")
    for path in (*scripts, *sorted((element / "bin").glob("*"))):
        if not path.stat().st_mode & 0o111:
            yield _damaged(path, "it cannot be started: its mode was lost on the way here")
    for path in (*scripts, *(element / "bin").glob("*"), *(element / "environment.d").glob("*")):
        try:
            run(["bash", "-n", path])
        except ToolError as error:
            if error.code.endswith("MISSING"):
                raise
            yield _damaged(path, f"bash does not read it: {error.what}")


def _damaged(path: Path, what: str) -> LayoutError:
    return LayoutError(
        f"the script {path.name} of the element is not usable: {what}",
        code="DIB-SCRIPT",
        where=str(path),
        hint="install voidimg again",
    )
