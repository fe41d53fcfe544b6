"""Which artifact kinds there are, and what the rest of the program asks about all of them.

Nothing else lists the kinds: a new one is one file, one line here, its test and its documentation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from voidimg.arch import ARCHES
from voidimg.artifact_names import ArtifactName
from voidimg.artifacts.gcp import Gcp
from voidimg.artifacts.image import Image
from voidimg.artifacts.incus import Incus
from voidimg.artifacts.iso import LiveIso
from voidimg.artifacts.kind import MAIN, ArtifactKind, KindName, profile_of
from voidimg.artifacts.netboot import Netboot
from voidimg.artifacts.platformfs import Platformfs
from voidimg.artifacts.qcow2 import Qcow2
from voidimg.artifacts.rootfs import Rootfs
from voidimg.artifacts.vhd import Vhd
from voidimg.artifacts.wsl import Wsl
from voidimg.disk.compress import Compression
from voidimg.errors import UsageError
from voidimg.identity import ReleaseDate
from voidimg.spec.model import Recipe
from voidimg.spec.stages import STAGES, PackageStage

_ALL: tuple[ArtifactKind, ...] = (
    Rootfs(),
    Platformfs(),
    Image(),
    Qcow2(),
    Vhd(),
    Gcp(),
    Incus(),
    Wsl(),
    LiveIso(),
    Netboot(),
)
"""In the order in which they are made."""

KINDS: Mapping[KindName, ArtifactKind] = {kind.name: kind for kind in _ALL}


def artifact_kinds() -> tuple[KindName, ...]:
    """The words of ``--artifact``, in the order in which the artifacts are made."""
    return tuple(KINDS)


def parse_kinds(words: Collection[str]) -> tuple[KindName, ...]:
    """The artifacts that `words` name, in the order in which they are made.

    Raises:
        UsageError: there is no such artifact.
    """
    unknown = sorted(set(words) - KINDS.keys())
    if unknown:
        raise UsageError(
            f"there is no artifact {unknown[0]!r}",
            code="ARTIFACT",
            where="--artifact",
            hint=f"choose from {', '.join(KINDS)}",
        )
    return tuple(kind for kind in KINDS if kind in words)


def kinds_of(
    recipe: Recipe, asked: Sequence[KindName] = (), *, only_live: bool = False
) -> tuple[KindName, ...]:
    """The artifacts to make of `recipe`: those `asked` for, else all that it has.

    With `only_live` the profile changes nothing but live systems (`ResolvedRecipe.only_live`).

    Raises:
        UsageError: an artifact is asked for that the recipe has not, or in which nothing of the
            profile would be.
    """
    if only_live and asked and all(KINDS[name].role != "live" for name in asked):
        raise UsageError(
            f"nothing of the profile {recipe.profile} would be in the {' and the '.join(asked)}:"
            " it only says what live systems have",
            code="PROFILE-LIVE",
            where="--profile",
            hint="ask for --artifact iso or netboot, or leave --profile out",
        )
    for name in asked:
        reason = KINDS[name].why_not(recipe)
        if reason is not None:
            raise UsageError(
                f"{recipe.platform} with {recipe.profile} has no {name}: {reason}",
                code="ARTIFACT",
                where=f"--artifact {name}",
            )
    if asked:
        return tuple(asked)
    return tuple(name for name, kind in KINDS.items() if kind.by_default(recipe))


def stages_of(kinds: Collection[KindName]) -> tuple[PackageStage, ...]:
    """The stages whose packages the artifacts `kinds` are made of."""
    wanted = {stage for name in kinds for stage in KINDS[name].stages}
    return tuple(stage for stage in STAGES if stage in wanted)


def check_kinds(
    kinds: Collection[KindName], recipe: Recipe, date: ReleaseDate, compression: Compression
) -> None:
    """Raise for what would keep the artifacts `kinds` from being made, before work starts.

    Raises:
        UsageError, LayoutError, ToolError: what, and what to do.
    """
    for name in kinds:
        KINDS[name].check(recipe, date, compression)


def artifact_name(name: KindName, recipe: Recipe, date: ReleaseDate, suffix: str) -> str:
    """Void's file name of an artifact; `suffix` is that of the compression (``.xz``, ``""``)."""
    return KINDS[name].file_names(recipe, str(date), suffix)[MAIN]


def lock_name(recipe: Recipe, date: ReleaseDate, kinds: Collection[KindName] = ()) -> str:
    """The file name of the lock that is written beside the artifacts `kinds` of a platform.

    That of artifacts which are made of other packages than a board's has the name of the first.
    """
    trees = [name for name in KINDS if name in kinds and KINDS[name].role != "live"]
    if kinds and (not trees or set(trees) == {"wsl"}):
        first = next(name for name in KINDS if name in kinds)
        kind = KINDS[first]
        main = kind.file_names(recipe, str(date), "")[MAIN]
        # A suffix stays where the lock of the board would have the same name without it.
        stem = main if first == "wsl" else main.removesuffix(kind.form.end)
        return f"{stem}.lock.json"
    profile = profile_of(recipe)
    return f"void-{recipe.platform}-{date}{f'-{profile}' if profile else ''}.lock.json"


def read_name(path: Path) -> tuple[ArtifactKind, ArtifactName] | None:
    """What the name of a file of an artifact says; None when it is not of any kind's form.

    Where several forms fit, the more special one counts: its words stand before the subject or
    behind it.
    """
    subjects = frozenset(ARCHES)
    forms = [(form, kind) for kind in _ALL for form in kind.forms.values()]
    for form, kind in sorted(forms, key=lambda one: (not one[0].word, not one[0].mark)):
        found = form.parse(path.name, subjects)
        if found is not None:
            return kind, found
    return None
