"""Says what a live ISO is to hold, and checks that an ISO can hold it. Pure, but for file sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from voidimg.errors import LayoutError, raise_all
from voidimg.identity import Identity
from voidimg.spec.volume_id import VOLUME_ID_CHARACTERS, is_volume_id

JOLIET_LABEL_CHARACTERS = 16
"""The Joliet descriptor has room for so many (UCS-2); Linux and GRUB read the other one."""
MBR_CODE_BYTES = 432
"""What isolinux's MBR code takes of sector 0; the address of its loader follows (syslinux)."""
MAX_EFI_BYTES = 65535 * 512
"""El Torito counts the sectors of a boot image in 16 bits (specification 1.0, section 2.2)."""

_JOLIET_UNITS = 64
_JOLIET_FORBIDDEN = set('*/:;?\\"<>|') | {chr(code) for code in range(32)} | {"\x7f"}
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class IsoFile:
    """A file of the ISO: its absolute `path` there, and where its content comes from.

    `source` is a file of the host or the content itself; `mode` are the permission bits.
    """

    path: str
    source: Path | bytes
    mode: int = 0o644

    @property
    def size_bytes(self) -> int:
        """How long it is now.

        Raises:
            OSError: there is no such file on the host.
        """
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True, slots=True)
class BiosBoot:
    """Starts on BIOS machines: isolinux from a CD, `mbr_code` of isohdpfx.bin from a USB stick.

    `loader` and `catalog` are paths on the ISO; the catalog is made by the writer.
    """

    loader: str
    mbr_code: bytes
    catalog: str


@dataclass(frozen=True, slots=True)
class IsoIdentifiers:
    """The identifiers of the tables in the system area: MBR signature and GUIDs of the GPT."""

    signature: int
    disk: UUID
    esp: UUID
    content: UUID


def iso_identifiers(identity: Identity) -> IsoIdentifiers:
    """The identifiers of an ISO; the same identity always gives the same."""
    return IsoIdentifiers(
        signature=identity.uint32("iso signature"),
        disk=identity.uuid("iso guid"),
        esp=identity.uuid("iso esp guid"),
        content=identity.uuid("iso content guid"),
    )


@dataclass(frozen=True, slots=True)
class IsoPlan:
    """An ISO: everything that its bytes follow from, with the build's time.

    `volume_id` is what ``root=live:CDLABEL=`` names. `efi` is the path on the ISO of the image of
    the EFI system partition, None when it cannot start by UEFI.
    """

    volume_id: str
    files: tuple[IsoFile, ...]
    identifiers: IsoIdentifiers
    bios: BiosBoot | None = None
    efi: str | None = None
    efi_catalog: str = "/boot/grub/boot.cat"
    """Where the boot catalog is when there is no `bios` to say it."""

    @property
    def catalog(self) -> str:
        """The path on the ISO of the El Torito boot catalog."""
        return self.efi_catalog if self.bios is None else self.bios.catalog

    def file(self, path: str) -> IsoFile | None:
        """The file at `path`, None where there is none."""
        return next((file for file in self.files if file.path == path), None)


def check_plan(plan: IsoPlan) -> None:
    """Raise `LayoutError` for what an ISO cannot hold; several in a `CollectedError`."""
    problems = [*_volume_id(plan.volume_id), *_paths(plan), *_boot(plan)]
    raise_all(problems, "the ISO cannot be made")


def check_volume_id(volume_id: str) -> None:
    """Raise `LayoutError` when an ISO cannot have this volume id."""
    for problem in _volume_id(volume_id):
        raise problem


def _volume_id(volume_id: str) -> Iterator[LayoutError]:
    if not is_volume_id(volume_id):
        yield LayoutError(
            f"{volume_id!r} is not a volume id: it needs 1 to {VOLUME_ID_CHARACTERS} characters"
            " of A to Z, 0 to 9 and _",
            code="VOLUME-ID",
            where=volume_id,
            hint="kernel and boot loader find the medium by it, so it must be plain",
        )


def _paths(plan: IsoPlan) -> Iterator[LayoutError]:
    files: set[str] = set()
    directories = {
        above for file in plan.files for above in parents(file.path) if above != file.path
    }
    catalog = () if plan.bios is None and plan.efi is None else (plan.catalog,)
    for path in (*catalog, *(file.path for file in plan.files)):
        reason = _refused(path)
        if reason is None and path in files:
            reason = "it is there twice"
        if reason is None and path in directories:
            reason = "it is a file and a directory"
        if reason is not None:
            yield _bad(path, f"{path!r} cannot be on the ISO: {reason}", "ISO-PATH")
        files.add(path)
    for file in plan.files:
        if isinstance(file.source, Path) and not file.source.is_file():
            yield _bad(file.path, f"there is no file {file.source} for it", "NO-FILE")


def parents(path: str) -> tuple[str, ...]:
    """The directories above `path`, the topmost first, without the root."""
    parts = path.split("/")[1:-1]
    return tuple("/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _refused(path: str) -> str | None:
    top, *names = path.split("/")
    if top or not names or any(name in ("", ".", "..") for name in names):
        return "it is not an absolute path without . and .."
    if len(names) > _MAX_DEPTH:
        return f"it lies deeper than {_MAX_DEPTH} directories (ISO 9660)"
    for name in names:
        try:
            units = len(name.encode("utf-16-be")) // 2
        except UnicodeEncodeError:
            return "it is not UTF-8"
        if units > _JOLIET_UNITS:
            return f"{name!r} is longer than {_JOLIET_UNITS} characters (Joliet)"
        if forbidden := sorted(_JOLIET_FORBIDDEN & set(name)):
            return f"it contains {forbidden[0]!r} (Joliet)"
    return None


def _boot(plan: IsoPlan) -> Iterator[LayoutError]:
    if plan.bios is not None:
        if plan.file(plan.bios.loader) is None:
            yield _bad(plan.bios.loader, "the BIOS boot loader is not among the files", "NO-FILE")
        if len(plan.bios.mbr_code) < MBR_CODE_BYTES:
            yield _bad(
                "isohdpfx.bin",
                f"it has {len(plan.bios.mbr_code)} bytes, but MBR code has {MBR_CODE_BYTES}",
                "MBR-CODE",
            )
    if plan.efi is None:
        return
    image = plan.file(plan.efi)
    if image is None:
        yield _bad(plan.efi, "the image of the EFI system partition is not there", "NO-FILE")
    elif not isinstance(image.source, Path) or image.source.is_file():
        size = image.size_bytes
        if not 0 < size <= MAX_EFI_BYTES or size % 2048:
            yield _bad(
                plan.efi,
                f"an EFI boot image of {size} bytes cannot be told to firmware",
                "EFI-SIZE",
                f"it may have up to {MAX_EFI_BYTES} bytes, in units of 2048",
            )


def _bad(where: str, what: str, code: str, hint: str | None = None) -> LayoutError:
    return LayoutError(what, code=code, where=where, hint=hint)
