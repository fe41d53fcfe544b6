"""The live ISO: starts as a CD and as a USB stick, by BIOS and by UEFI."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import MAIN, ArtifactKind, PlannedStep, Step
from voidimg.artifacts.live_tree import (
    LIVE_TREE,
    live_of,
    make_esp_image,
    menu_of,
    no_live,
    pack_live,
    parts_of,
    probe_live,
    take_boot_files,
)
from voidimg.artifacts.making import Making
from voidimg.disk.compress import Compression
from voidimg.identity import Identity, ReleaseDate
from voidimg.live.iso import write_iso
from voidimg.live.iso_plan import IsoPlan
from voidimg.live.media import MediaParts, plan_media
from voidimg.spec.model import Recipe
from voidimg.spec.volume_id import planned_volume_id


class LiveIso(ArtifactKind):
    """``void-live-<platform>-<date>-<profile>.iso``."""

    name = "iso"
    title = "live ISO"
    part = LIVE_TREE
    stages = ("live", "live-build")
    form = NameForm(".iso", word="live", profile="always", compressed=False)
    role = "live"

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a live system."""
        return no_live(recipe)

    def file_names(self, recipe: Recipe, date: str, suffix: str) -> dict[str, str]:
        """The name of an ISO always has its profile, and its compression is inside."""
        return {MAIN: self.form.name(recipe.platform, date, recipe.profile, suffix)}

    def check(self, recipe: Recipe, date: ReleaseDate, compression: Compression) -> None:
        """Refuse menus and options that cannot be, and a host that cannot make them."""
        del compression
        probe_live(recipe, date)

    def room(self, compression: Compression) -> float:
        """The squashfs, and the ISO that holds it."""
        del compression
        return 1.0

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Take the boot files, make initramfs and squashfs, write the ISO."""
        live = live_of(recipe)
        what = f"write the ISO {planned_volume_id(recipe)}, started by"
        line = PlannedStep("live", what, live.loaders)
        return (
            Step("live: boot loaders", (), _take),
            *pack_live(recipe, network=False),
            Step("iso: write", (line,), _write),
        )


def _take(making: Making) -> None:
    take_boot_files(making)
    make_esp_image(making)
    _plan(making)  # what a loader needs and is not there is told now: what follows takes minutes


def _plan(making: Making) -> IsoPlan:
    recipe, live = making.recipe, live_of(making.recipe)
    parts = parts_of(making)
    media = MediaParts(
        squashfs=parts.squashfs,
        kernel=parts.kernel_file,
        initrd=parts.initrd,
        tools=parts.directory if "isolinux" in live.loaders else None,
        esp=parts.esp,
        others=parts.others,
    )
    identity = Identity(f"iso {recipe.platform} {recipe.profile} {making.date}")
    return plan_media(menu_of(making), media, identity, making.templates)


def _write(making: Making) -> None:
    out = making.work / "iso.new"
    write_iso(_plan(making), out, making.epoch)
    making.keep("iso", {MAIN: out})
