"""The jobs that make a set on the machines of a CI: one for what shares a ROOTFS tree.

A job runs ``voidimg release SET --shard N/M``; the last one ``--merge``. Formats: ``json`` is the
list of jobs; ``github`` the matrix of a job's ``strategy``, of at most 256 jobs; ``gitlab`` a child
pipeline.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voidimg.arch import without_libc
from voidimg.catalog.sets import ResolvedSet
from voidimg.disk.compress import Compression
from voidimg.errors import UsageError
from voidimg.events import Listener, ignore
from voidimg.identity import ReleaseDate
from voidimg.release.choosing import choose_lock
from voidimg.release.judging import machines_of
from voidimg.release.options import ReleaseOptions
from voidimg.release.room import needed_bytes
from voidimg.release.rows import PlannedArtifact, planned_artifacts
from voidimg.release.sharing import clusters, shares
from voidimg.supply.lock import Lock

Format = Literal["json", "github", "gitlab"]

MAX_GITHUB_JOBS = 256
"""Most jobs that one matrix of GitHub makes."""

_RUNNERS = {"aarch64": "ubuntu-24.04-arm"}
"""Machine -> the public runner of GitHub that runs it natively. Its processors need not have 32-bit
ARM, so armv6l and armv7l stay with the emulator of the others."""
_RUNNER = "ubuntu-24.04"
_ARM64 = ("aarch64",)


@dataclass(frozen=True, slots=True)
class MatrixJob:
    """One job of a CI.

    Attributes:
        shard: the share that it makes, as ``--shard`` takes it.
        artifacts: their file names.
        platforms: of what, each once.
        architectures: XBPS's, each once.
        runner: the label of a public runner of GitHub that suits.
        kvm: whether its boot tests would be served by KVM of the runner's own architecture.
        disk_bytes: what it takes on disk, an estimate from the lock.
    """

    shard: str
    artifacts: tuple[str, ...]
    platforms: tuple[str, ...]
    architectures: tuple[str, ...]
    runner: str
    kvm: bool
    disk_bytes: int

    @property
    def name(self) -> str:
        """The job in words."""
        return ", ".join(self.platforms)

    def as_json(self) -> dict[str, object]:
        """The job as a JSON-ready mapping, with GitHub's words."""
        return {
            "name": self.name,
            "shard": self.shard,
            "artifact-name": f"part-{self.shard.replace('/', '-of-')}",
            "artifacts": list(self.artifacts),
            "platforms": list(self.platforms),
            "architectures": list(self.architectures),
            "runs-on": self.runner,
            "needs-kvm": self.kvm,
            "disk-bytes": self.disk_bytes,
        }


def plan_matrix(
    whole: ResolvedSet,
    date: ReleaseDate,
    options: ReleaseOptions,
    *,
    listener: Listener = ignore,
) -> tuple[MatrixJob, ...]:
    """The jobs that make `whole`: each makes what shares the tree of a ROOTFS.

    Raises:
        SpecError, UsageError, FetchError, VerifyError, ResolveError: as a release would.
    """
    planned = planned_artifacts(whole, date, options.build.compression)
    chosen = choose_lock(whole, date, planned, options, keep=False, listener=listener)
    by_name = {one.name: one for one in planned if one.name not in chosen.left_out}
    count = len(clusters(planned))
    jobs = []
    for number, names in enumerate(shares(planned, count), start=1):
        own = [by_name[name] for name in names if name in by_name]
        if own:
            jobs.append(_job(f"{number}/{count}", own, chosen.lock, options.build.compression))
    return tuple(jobs)


def _job(
    shard: str, own: Sequence[PlannedArtifact], lock: Lock, compression: Compression
) -> MatrixJob:
    recipes = [one.resolved.recipe for one in own]
    machines = sorted({without_libc(recipe.arch) for recipe in recipes})
    runner = _RUNNERS.get(machines[0], _RUNNER) if len(machines) == 1 else _RUNNER
    qemu = {"aarch64": "qemu-system-aarch64"}.get(machines[0], "qemu-system-x86_64")
    return MatrixJob(
        shard=shard,
        artifacts=tuple(one.name for one in own),
        platforms=tuple(dict.fromkeys(recipe.platform for recipe in recipes)),
        architectures=tuple(dict.fromkeys(recipe.arch for recipe in recipes)),
        runner=runner,
        kvm=any(machines_of(one) and one.resolved.recipe.smoke.qemu == qemu for one in own),
        disk_bytes=needed_bytes(own, lock, compression, 1),
    )


def matrix_text(jobs: Sequence[MatrixJob], form: str, whole: ResolvedSet, date: ReleaseDate) -> str:
    """`jobs` as text of the format `form`, with a newline at its end.

    Raises:
        UsageError: there is no such format, or it cannot hold so many jobs.
    """
    if form == "json":
        return _text([job.as_json() for job in jobs], indent=2)
    if form == "github":
        if len(jobs) > MAX_GITHUB_JOBS:
            raise UsageError(
                f"a matrix of GitHub has at most {MAX_GITHUB_JOBS} jobs, not {len(jobs)}",
                code="MATRIX",
                where="--format github",
                hint="cut the set into several",
            )
        return _text({"include": [job.as_json() for job in jobs]})  # one line, for GITHUB_OUTPUT
    if form == "gitlab":
        return _text(_gitlab(jobs, whole, date), indent=2)
    raise UsageError(
        f"there is no format {form!r}",
        code="MATRIX",
        where="--format",
        hint="choose json, github or gitlab",
    )


def _text(value: object, *, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, sort_keys=True) + "\n"


def _gitlab(
    jobs: Sequence[MatrixJob], whole: ResolvedSet, date: ReleaseDate
) -> Mapping[str, object]:
    """A child pipeline; JSON is YAML too. The lock is an artifact of the pipeline above it."""
    release = ["voidimg", "release", whole.name, "--date", str(date), "--lock", "set.lock.json"]
    pipeline: dict[str, object] = {"stages": ["shares", "set"]}
    for job in jobs:
        arm = set(map(without_libc, job.architectures)) <= set(_ARM64)
        pipeline[f"share {job.shard.replace('/', ' of ')}"] = {
            "stage": "shares",
            "tags": ["saas-linux-medium-arm64" if arm else "saas-linux-medium-amd64"],
            "variables": {"DISK_BYTES": str(job.disk_bytes), "PLATFORMS": job.name},
            "script": [shlex.join([*release, "--shard", job.shard])],
            "artifacts": {"paths": [f"out/{date}.part-{job.shard.replace('/', '-of-')}/"]},
        }
    merges = [
        word
        for job in jobs
        for word in ("--merge", f"out/{date}.part-{job.shard.replace('/', '-of-')}")
    ]
    pipeline["set"] = {
        "stage": "set",
        "script": [shlex.join([*release, *merges])],
        "artifacts": {"paths": [f"out/{date}/"]},
    }
    return pipeline
