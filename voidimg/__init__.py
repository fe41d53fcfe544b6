"""voidimg builds Void Linux ROOTFS and PLATFORMFS tarballs, disk images and image sets.

This module is the public face: what a tool author imports, and nothing else. Names are loaded on
first use, so that ``import voidimg`` and ``voidimg --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voidimg.artifact_names import date_of_name
    from voidimg.artifacts.kind import PlannedStep
    from voidimg.artifacts.plan import planned_steps
    from voidimg.artifacts.registry import artifact_kinds
    from voidimg.atomic import open_result
    from voidimg.catalog.catalog import Catalog, CatalogEntry
    from voidimg.diagnosis.machine import Condition, Diagnosis, diagnose
    from voidimg.diagnosis.repositories import diagnose_repositories
    from voidimg.disk.compress import Compression, parse_compression
    from voidimg.errors import (
        BootTestError,
        CollectedError,
        DiagnosisError,
        DiskFullError,
        FetchError,
        LayoutError,
        LintError,
        PackageError,
        ReleaseError,
        ResolveError,
        SandboxError,
        ScriptError,
        SpecError,
        StoreError,
        ToolError,
        UsageError,
        VerifyError,
        VoidimgError,
        exit_status_of,
        without_passwords,
    )
    from voidimg.events import (
        Event,
        Listener,
        Message,
        Progress,
        ScriptOutput,
        StepFinished,
        StepStarted,
        event_as_json,
    )
    from voidimg.fetch.cache import Cache
    from voidimg.fetch.upkeep import (
        CacheUse,
        DamagedEntry,
        measure_cache,
        verify_cache,
    )
    from voidimg.identity import ReleaseDate
    from voidimg.inspection.disk import Filesystem, Inspection
    from voidimg.inspection.iso import IsoInspection, inspect
    from voidimg.inspection.rights import Account
    from voidimg.lint.lint import lint_artifact, lint_checks, require_clean
    from voidimg.lint.model import Defect, LintReport
    from voidimg.lint.set_checks import artifacts_of_set, lint_set
    from voidimg.pipeline.build import BuildResult, build, build_platforms
    from voidimg.pipeline.forecast import Forecast, forecast_build
    from voidimg.pipeline.locks import explain_package, lock_platforms
    from voidimg.pipeline.options import BuildOptions
    from voidimg.pipeline.store import Artifact
    from voidimg.pipeline.workdir import clear_cache
    from voidimg.signing.keys import (
        ReleaseKey,
        TrustedKey,
        create_release_key,
        find_public_key,
        needs_passphrase,
        read_public_key,
    )
    from voidimg.signing.signing import SignedSet, date_of_set, sign_set
    from voidimg.signing.verify import Verified, VerifiedFile, verify_files, verify_set
    from voidimg.smoke.boot import platform_of_image, profile_of_image, smoke_image
    from voidimg.smoke.verdict import BootVerdict, Check, SmokeReport, write_report
    from voidimg.spec.compose import ResolvedRecipe
    from voidimg.spec.model import Recipe
    from voidimg.spec.tree import Origin
    from voidimg.supply.consistency import Finding, report_findings, spoken_age
    from voidimg.supply.lock import Lock, LockedPackage
    from voidimg.supply.lock_difference import LockDifference, lock_difference
    from voidimg.supply.pin import (
        Explanation,
        bundle_lock,
        repositories_to_update,
        sources_to_update,
    )
    from voidimg.supply.sources import Sources
    from voidimg.supply.status import (
        RepositoryStatus,
        prometheus_text,
        repository_status,
        write_prometheus_file,
    )
    from voidimg.supply.supply import read_lock, write_lock
    from voidimg.supply.trust import RepositoryKey, repository_keys
    from voidimg.terminal_text import printable
    from voidimg.units import format_size, parse_size
    from voidimg.xbps.keys import PrivateKey, PublicKey, create_repository_key
    from voidimg.xbps.package.directory import read_package_directory
    from voidimg.xbps.package.reader import BinaryPackage
    from voidimg.xbps.package.writer import PackageMember, PackageMeta, write_package
    from voidimg.xbps.repository.local import (
        architectures,
        index_packages,
        packages_of,
        read_repodata,
        sign_packages,
        sign_repository,
        write_key_file,
    )
    from voidimg.xbps.repository.repodata import Repodata
    from voidimg.xbps.resolve.errors import UnresolvedError

__version__ = "2026.11.0"

_HOME = {
    "Artifact": "voidimg.pipeline.store",
    "BinaryPackage": "voidimg.xbps.package.reader",
    "BootTestError": "voidimg.errors",
    "BootVerdict": "voidimg.smoke.verdict",
    "BuildOptions": "voidimg.pipeline.options",
    "BuildResult": "voidimg.pipeline.build",
    "Cache": "voidimg.fetch.cache",
    "CacheUse": "voidimg.fetch.upkeep",
    "Catalog": "voidimg.catalog.catalog",
    "CatalogEntry": "voidimg.catalog.catalog",
    "Check": "voidimg.smoke.verdict",
    "CollectedError": "voidimg.errors",
    "Compression": "voidimg.disk.compress",
    "Condition": "voidimg.diagnosis.machine",
    "DamagedEntry": "voidimg.fetch.upkeep",
    "Defect": "voidimg.lint.model",
    "Diagnosis": "voidimg.diagnosis.machine",
    "DiagnosisError": "voidimg.errors",
    "DiskFullError": "voidimg.errors",
    "Event": "voidimg.events",
    "Explanation": "voidimg.supply.pin",
    "FetchError": "voidimg.errors",
    "Filesystem": "voidimg.inspection.disk",
    "Finding": "voidimg.supply.consistency",
    "Forecast": "voidimg.pipeline.forecast",
    "Inspection": "voidimg.inspection.disk",
    "Account": "voidimg.inspection.rights",
    "IsoInspection": "voidimg.inspection.iso",
    "LayoutError": "voidimg.errors",
    "LintError": "voidimg.errors",
    "LintReport": "voidimg.lint.model",
    "Listener": "voidimg.events",
    "Lock": "voidimg.supply.lock",
    "LockDifference": "voidimg.supply.lock_difference",
    "LockedPackage": "voidimg.supply.lock",
    "Message": "voidimg.events",
    "Origin": "voidimg.spec.tree",
    "PackageError": "voidimg.errors",
    "PackageMember": "voidimg.xbps.package.writer",
    "PackageMeta": "voidimg.xbps.package.writer",
    "PlannedStep": "voidimg.artifacts.kind",
    "PrivateKey": "voidimg.xbps.keys",
    "Progress": "voidimg.events",
    "PublicKey": "voidimg.xbps.keys",
    "Recipe": "voidimg.spec.model",
    "ReleaseDate": "voidimg.identity",
    "ReleaseError": "voidimg.errors",
    "ReleaseKey": "voidimg.signing.keys",
    "Repodata": "voidimg.xbps.repository.repodata",
    "RepositoryKey": "voidimg.supply.trust",
    "RepositoryStatus": "voidimg.supply.status",
    "ResolveError": "voidimg.errors",
    "ResolvedRecipe": "voidimg.spec.compose",
    "SandboxError": "voidimg.errors",
    "ScriptError": "voidimg.errors",
    "ScriptOutput": "voidimg.events",
    "SignedSet": "voidimg.signing.signing",
    "SmokeReport": "voidimg.smoke.verdict",
    "Sources": "voidimg.supply.sources",
    "SpecError": "voidimg.errors",
    "StepFinished": "voidimg.events",
    "StepStarted": "voidimg.events",
    "StoreError": "voidimg.errors",
    "ToolError": "voidimg.errors",
    "TrustedKey": "voidimg.signing.keys",
    "UnresolvedError": "voidimg.xbps.resolve.errors",
    "UsageError": "voidimg.errors",
    "Verified": "voidimg.signing.verify",
    "VerifiedFile": "voidimg.signing.verify",
    "VerifyError": "voidimg.errors",
    "VoidimgError": "voidimg.errors",
    "artifact_kinds": "voidimg.artifacts.registry",
    "architectures": "voidimg.xbps.repository.local",
    "artifacts_of_set": "voidimg.lint.set_checks",
    "build": "voidimg.pipeline.build",
    "build_platforms": "voidimg.pipeline.build",
    "bundle_lock": "voidimg.supply.pin",
    "clear_cache": "voidimg.pipeline.workdir",
    "create_release_key": "voidimg.signing.keys",
    "create_repository_key": "voidimg.xbps.keys",
    "date_of_name": "voidimg.artifact_names",
    "date_of_set": "voidimg.signing.signing",
    "diagnose": "voidimg.diagnosis.machine",
    "diagnose_repositories": "voidimg.diagnosis.repositories",
    "event_as_json": "voidimg.events",
    "exit_status_of": "voidimg.errors",
    "explain_package": "voidimg.pipeline.locks",
    "find_public_key": "voidimg.signing.keys",
    "forecast_build": "voidimg.pipeline.forecast",
    "format_size": "voidimg.units",
    "index_packages": "voidimg.xbps.repository.local",
    "inspect": "voidimg.inspection.iso",
    "lint_artifact": "voidimg.lint.lint",
    "lint_checks": "voidimg.lint.lint",
    "lint_set": "voidimg.lint.set_checks",
    "lock_difference": "voidimg.supply.lock_difference",
    "lock_platforms": "voidimg.pipeline.locks",
    "measure_cache": "voidimg.fetch.upkeep",
    "needs_passphrase": "voidimg.signing.keys",
    "packages_of": "voidimg.xbps.repository.local",
    "open_result": "voidimg.atomic",
    "parse_compression": "voidimg.disk.compress",
    "parse_size": "voidimg.units",
    "planned_steps": "voidimg.artifacts.plan",
    "platform_of_image": "voidimg.smoke.boot",
    "profile_of_image": "voidimg.smoke.boot",
    "printable": "voidimg.terminal_text",
    "prometheus_text": "voidimg.supply.status",
    "read_lock": "voidimg.supply.supply",
    "read_package_directory": "voidimg.xbps.package.directory",
    "read_public_key": "voidimg.signing.keys",
    "read_repodata": "voidimg.xbps.repository.local",
    "report_findings": "voidimg.supply.consistency",
    "repositories_to_update": "voidimg.supply.pin",
    "repository_keys": "voidimg.supply.trust",
    "repository_status": "voidimg.supply.status",
    "require_clean": "voidimg.lint.lint",
    "sign_packages": "voidimg.xbps.repository.local",
    "sign_repository": "voidimg.xbps.repository.local",
    "sign_set": "voidimg.signing.signing",
    "smoke_image": "voidimg.smoke.boot",
    "sources_to_update": "voidimg.supply.pin",
    "spoken_age": "voidimg.supply.consistency",
    "verify_cache": "voidimg.fetch.upkeep",
    "verify_files": "voidimg.signing.verify",
    "verify_set": "voidimg.signing.verify",
    "without_passwords": "voidimg.errors",
    "write_key_file": "voidimg.xbps.repository.local",
    "write_lock": "voidimg.supply.supply",
    "write_package": "voidimg.xbps.package.writer",
    "write_prometheus_file": "voidimg.supply.status",
    "write_report": "voidimg.smoke.verdict",
}

__all__ = [
    "Account",
    "Artifact",
    "BinaryPackage",
    "BootTestError",
    "BootVerdict",
    "BuildOptions",
    "BuildResult",
    "Cache",
    "CacheUse",
    "Catalog",
    "CatalogEntry",
    "Check",
    "CollectedError",
    "Compression",
    "Condition",
    "DamagedEntry",
    "Defect",
    "Diagnosis",
    "DiagnosisError",
    "DiskFullError",
    "Event",
    "Explanation",
    "FetchError",
    "Filesystem",
    "Finding",
    "Forecast",
    "Inspection",
    "IsoInspection",
    "LayoutError",
    "LintError",
    "LintReport",
    "Listener",
    "Lock",
    "LockDifference",
    "LockedPackage",
    "Message",
    "Origin",
    "PackageError",
    "PackageMember",
    "PackageMeta",
    "PlannedStep",
    "PrivateKey",
    "Progress",
    "PublicKey",
    "Recipe",
    "ReleaseDate",
    "ReleaseError",
    "ReleaseKey",
    "Repodata",
    "RepositoryKey",
    "RepositoryStatus",
    "ResolveError",
    "ResolvedRecipe",
    "SandboxError",
    "ScriptError",
    "ScriptOutput",
    "SignedSet",
    "SmokeReport",
    "Sources",
    "SpecError",
    "StepFinished",
    "StepStarted",
    "StoreError",
    "ToolError",
    "TrustedKey",
    "UnresolvedError",
    "UsageError",
    "Verified",
    "VerifiedFile",
    "VerifyError",
    "VoidimgError",
    "architectures",
    "artifact_kinds",
    "artifacts_of_set",
    "build",
    "build_platforms",
    "bundle_lock",
    "clear_cache",
    "create_release_key",
    "create_repository_key",
    "date_of_name",
    "date_of_set",
    "diagnose",
    "diagnose_repositories",
    "event_as_json",
    "exit_status_of",
    "explain_package",
    "find_public_key",
    "forecast_build",
    "format_size",
    "index_packages",
    "inspect",
    "lint_artifact",
    "lint_checks",
    "lint_set",
    "lock_difference",
    "lock_platforms",
    "measure_cache",
    "needs_passphrase",
    "open_result",
    "packages_of",
    "parse_compression",
    "parse_size",
    "planned_steps",
    "platform_of_image",
    "printable",
    "profile_of_image",
    "prometheus_text",
    "read_lock",
    "read_package_directory",
    "read_public_key",
    "read_repodata",
    "report_findings",
    "repositories_to_update",
    "repository_keys",
    "repository_status",
    "require_clean",
    "sign_packages",
    "sign_repository",
    "sign_set",
    "smoke_image",
    "sources_to_update",
    "spoken_age",
    "verify_cache",
    "verify_files",
    "verify_set",
    "without_passwords",
    "write_key_file",
    "write_lock",
    "write_package",
    "write_prometheus_file",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in."""
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'voidimg' has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
