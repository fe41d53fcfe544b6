"""The models of what one stage of a build adds to the tree."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from voidimg.spec.base import Model
from voidimg.spec.words import (
    ImagePath,
    LinkTarget,
    Mode,
    PackageRequest,
    Regex,
    ServiceName,
    Sha256,
    SourceName,
)


class File(Model):
    """A file to write into the tree, from exactly one of the five things that can make it.

    Templates are those of Jinja2 on the search path (`voidimg/templates` for shipped ones), sources
    lie in ``files/`` on the search path. A file that exists is replaced.
    """

    path: ImagePath
    """Where it lies; missing directories are made."""
    content: str | None = None
    """The text itself."""
    template: str | None = None
    """The name of a template, such as ``fstab.j2``."""
    link: LinkTarget | None = None
    """What a symbolic link says."""
    source: SourceName | None = None
    """A file below ``files/``, as it is."""
    directory: SourceName | None = None
    """A directory below ``files/``: what is in it comes below `path`, files executable or not."""
    sha256: Sha256 | None = None
    """Pins `source`: a file with other content is refused."""
    form: Literal["text", "u-boot-script"] = "text"
    """What the text becomes: the file itself, or a script with the header that U-Boot wants."""
    mode: Mode = 0o644
    """Of a file; links have none."""
    uid: int = Field(default=0, ge=0, lt=2**32)
    gid: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _one_source(self) -> File:
        given = [
            name
            for name in ("content", "template", "link", "source", "directory")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise PydanticCustomError(
                "file_source",
                "file {path} needs exactly one of content, template, link, source and directory, "
                "not {given}",
                {"path": self.path, "given": " and ".join(given) or "none"},
            )
        return self

    @model_validator(mode="after")
    def _fitting(self) -> File:
        if self.sha256 is not None and self.source is None:
            raise PydanticCustomError("file_pin", "sha256 pins a source, and {path} has none",
                                      {"path": self.path})  # fmt: skip
        if self.form != "text" and self.content is None and self.template is None:
            raise PydanticCustomError(
                "file_form",
                "{path} has no text to become a {form}: write content or template",
                {"path": self.path, "form": self.form},
            )
        if self.directory is not None and "mode" in self.model_fields_set:
            raise PydanticCustomError(
                "file_mode",
                "{path} comes from a directory: each file in it has its own mode",
                {"path": self.path},
            )
        return self


class Edit(Model):
    """Sets one line of a text file: the first line that `match` (a regex) finds becomes `line`.

    Without a matching line `line` is appended, unless `required`, which makes that an error.
    """

    path: ImagePath
    match: Regex
    line: str
    required: bool = False
    """Whether a file without such a line is an error."""


class Hook(Model):
    """A script that changes the tree at the end of a stage; exactly one of `script`, `template`.

    The shell of the tree runs it in the sandbox, as root, with the tree as ``/`` and without a
    network, until its first failing command. What it writes must follow from the tree alone.
    """

    name: str = Field(pattern=r"^[^\n]+$")
    """What it does, for people."""
    script: str | None = None
    """The script itself."""
    template: str | None = None
    """The name of a template that makes it."""

    @model_validator(mode="after")
    def _one_source(self) -> Hook:
        if (self.script is None) == (self.template is None):
            raise PydanticCustomError(
                "hook_source", "hook {name!r} needs exactly one of script and template",
                {"name": self.name},
            )  # fmt: skip
        return self


class Stage(Model):
    """What one stage (ROOTFS, PLATFORMFS, image, live, WSL) adds to the tree, in this order.

    Packages are installed, edits and files applied, services linked into
    ``/etc/runit/runsvdir/default``, hooks run. The image stage has no packages: everything an image
    needs is in the plan before anything is fetched.
    """

    packages: tuple[PackageRequest, ...] = ()
    """Installed with all that they need; the order in which they are listed is of no account."""
    services: tuple[ServiceName, ...] = ()
    """Directories of ``/etc/sv`` that runit starts."""
    edits: tuple[Edit, ...] = ()
    """Lines to set in files of packages."""
    files: tuple[File, ...] = ()
    """Files to write, over those of packages."""
    hooks: tuple[Hook, ...] = ()
    """Scripts to run in the tree, in this order."""
