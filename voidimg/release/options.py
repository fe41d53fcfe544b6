"""What a caller chooses about a release beside the set and its date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

from voidimg.errors import UsageError
from voidimg.pipeline.options import BuildOptions
from voidimg.release.rows import PlannedArtifact
from voidimg.suggest import did_you_mean

Smoking = Literal["none", "one", "all"]
"""How much is booted: nothing, one way of each artifact, or all ways that its platform states."""

_CHECKS = ("lint", "smoke")


@dataclass(frozen=True, slots=True)
class Waived:
    """That the artifact called `name` may fail `check`: `who` says so, for a `reason`."""

    check: Literal["lint", "smoke"]
    name: str
    who: str
    reason: str

    @classmethod
    def parse(cls, text: str, who: str | None) -> Self:
        """The waiver that ``CHECK:FILE=REASON`` is, given by `who`.

        Raises:
            UsageError: it has another form, or nobody gives it.
        """
        head, sign, reason = text.partition("=")
        check, colon, name = head.partition(":")
        if not (sign and colon and name and reason.strip()) or check not in _CHECKS:
            raise UsageError(
                f"{text!r} is no waiver",
                code="WAIVER",
                where="--waive",
                hint="write it as lint:FILE=REASON or smoke:FILE=REASON",
            )
        if not who:
            raise UsageError(
                "a waiver needs somebody who gives it",
                code="WAIVER",
                where="--waive",
                hint="say who you are with --waived-by NAME; the manifest keeps it",
            )
        found: Literal["lint", "smoke"] = "lint" if check == "lint" else "smoke"
        return cls(found, name, who, reason.strip())


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shares of the artifacts of a set; `number` counts from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The share that ``3/8`` is.

        Raises:
            UsageError: it has another form.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and number.isascii()):
            raise _no_shard(text, "it has not the form NUMBER/COUNT")
        found = cls(int(number), int(count))
        if not 1 <= found.number <= found.count <= 1000:
            raise _no_shard(
                text, "the number is not one from 1 to the count, and that at most 1000"
            )
        return found

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.number}/{self.count}"


def _no_shard(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text!r} is no share of a set: {why}",
        code="SHARD",
        where="--shard",
        hint="write it like 3/8, the third of eight",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOptions:
    """How to release.

    Attributes:
        build: where packages come from, compression, output directory, cache, lock, jobs.
        smoke: how much is booted.
        patience: factor on every time limit of a boot.
        keep_going: go on with what does not need what failed, and tell of every failure.
        waivers: what may fail.
        shard: make this share only, for `merge_parts`.
    """

    build: BuildOptions
    smoke: Smoking = "one"
    patience: float = 1.0
    keep_going: bool = False
    waivers: tuple[Waived, ...] = ()
    shard: Shard | None = None

    @classmethod
    def parse(
        cls,
        build: BuildOptions,
        *,
        smoke: str = "one",
        patience: float = 1.0,
        keep_going: bool = False,
        waive: Sequence[str] = (),
        waived_by: str | None = None,
        shard: str | None = None,
    ) -> Self:
        """The options from words as a command line has them.

        Raises:
            UsageError: a word that is none; a share without the lock that all shares have.
        """
        words: dict[str, Smoking] = {word: word for word in get_args(Smoking)}
        if smoke not in words:
            raise UsageError(
                f"{smoke!r} is not one of {', '.join(words)}",
                code="SMOKE",
                where="--smoke",
                hint=did_you_mean(smoke, words),
            )
        found = None if shard is None else Shard.parse(shard)
        if found is not None and build.lock is None:
            raise UsageError(
                "the shares of a set are made from one lock, and none is given",
                code="SHARD-LOCK",
                where="--shard",
                hint="make it once with: voidimg lock --set NAME -o FILE, and give it with --lock",
            )
        return cls(
            build=build,
            smoke=words[smoke],
            patience=patience,
            keep_going=keep_going,
            waivers=tuple(Waived.parse(text, waived_by) for text in waive),
            shard=found,
        )

    def require_waived_there(self, planned: Sequence[PlannedArtifact]) -> None:
        """Ensure that every waiver is of an artifact that there is.

        Raises:
            UsageError: one is not; a misspelt name would let nothing pass.
        """
        names = [one.name for one in planned]
        for waived in self.waivers:
            if waived.name not in names:
                raise UsageError(
                    f"the set has no artifact {waived.name!r} to waive anything of",
                    code="WAIVER",
                    where="--waive",
                    hint=did_you_mean(waived.name, names) or "--plan shows the names",
                )
