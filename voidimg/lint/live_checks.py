"""Checks of what a live ISO starts: kernel, initramfs and the live system fit one another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from voidimg.errors import PackageError
from voidimg.formats.compression import Stream
from voidimg.formats.cpio import Initramfs
from voidimg.inspection.findings import SERVICES
from voidimg.inspection.medium import LIVE_CONF, MEDIA_MODULES, LiveMedium
from voidimg.inspection.public_password import is_public
from voidimg.inspection.rights import secret_state
from voidimg.inspection.sshd import lets_in_by_password
from voidimg.lint.iso_checks import medium_of
from voidimg.lint.model import Problem
from voidimg.lint.subject import Subject

_ESSENTIAL = frozenset({"overlay", "squashfs", "loop", "isofs"})
"""Without these no medium is mounted; of the others a kernel for other machines may have none."""
_HOOKS = ("user", "display-manager", "serial", "locale", "accessibility", "nomodeset")
_HOOK = re.compile(r".*/hooks/pre-pivot/\d+-live-([a-z-]+)\.sh")
_RELEASE_DIRECTORY = re.compile(r"/usr/lib/modules/([^/]+)")
_VERMAGIC = re.compile(rb"vermagic=([\x21-\x7e]+)")
_MAX_MODULE_BYTES = 2**25
_LIVE_RULES = (
    "/etc/sudoers.d/99-void-live",
    "/etc/polkit-1/rules.d/void-live.rules",
    "/etc/polkit-1/rules.d/99-void-live.rules",
)
"""Void's installer removes the first two; the last is what earlier live systems of ours wrote."""
_DRACUT = "build the initramfs again with dracut of the live system"


def iso_initramfs_live(subject: Subject) -> Iterator[Problem]:
    """The initramfs finds live media, and prepares the live system: user, keymap, consoles."""
    medium = medium_of(subject)
    place = medium.initrd_path
    if place is None:
        yield Problem("initramfs", "there is no initramfs that a menu names", _DRACUT)
        return
    found = _initramfs(medium)
    if not any("dmsquash-live" in path for path in found.entries):
        what = "dracut's module dmsquash-live is not in it: no live medium is found"
        yield Problem(place, what, _DRACUT)
    if LIVE_CONF not in found.entries:
        yield Problem(place, f"there is no {LIVE_CONF}: the hooks do not know what to do", _DRACUT)
    present = {match[1] for path in found.entries if (match := _HOOK.fullmatch(path))}
    for name in _HOOKS:
        if name not in present:
            yield Problem(place, f"the hook live-{name} is not in it", _DRACUT)


def iso_initramfs_modules(subject: Subject) -> Iterator[Problem]:
    """The modules that a medium is mounted with are there, and are those of this kernel."""
    medium = medium_of(subject)
    release, place = medium.kernel.release, medium.initrd_path
    if place is None:
        return
    modules = medium.initramfs_modules
    builtin = _builtin(subject)
    shipped = {_module(path) for path in subject.entries if path.startswith("/usr/lib/modules/")}
    for name in MEDIA_MODULES:
        plain = name.replace("_", "-")
        if plain in modules:
            directory, path = modules[plain]
            says = _vermagic(_initramfs(medium).contents.get(path, b""))
            for of in dict.fromkeys((directory, says or directory)):
                if release is not None and of != release:
                    what = f"{path} is of the kernel {of}, but {release} is started"
                    yield Problem(place, what, _DRACUT)
        elif plain not in builtin and (plain in _ESSENTIAL or plain in shipped):
            what = f"the module {name} is not in it, and not in the kernel itself"
            yield Problem(place, what, _DRACUT)


def iso_kernel_release(subject: Subject) -> Iterator[Problem]:
    """The live system has the modules of the kernel that is started, and of no other."""
    medium = medium_of(subject)
    release = medium.kernel.release
    if medium.kernel_path is None:
        yield Problem("kernel", "no menu names a kernel that is there", "see iso-menu-file")
        return
    if release is None:
        what = "the file does not say a release: is it a kernel?"
        yield Problem(medium.kernel_path, what, "copy it from the live system again")
        return
    found = sorted(
        match[1] for path in subject.entries if (match := _RELEASE_DIRECTORY.fullmatch(path))
    )
    if found != [release]:
        has = ", ".join(found) or "none"
        yield Problem(
            "/usr/lib/modules", f"the kernel is {release}, but there are modules for {has}",
            "kernel, initramfs and squashfs must come from one tree: build the ISO again",
        )  # fmt: skip


def live_user(subject: Subject) -> Iterator[Problem]:
    """The live user is made at boot: in the squashfs it would get into installed systems."""
    conf = medium_of(subject).live_conf
    name = conf.get("LIVE_USER") or "anon"
    secret = conf.get("LIVE_PASSWORD", "")
    if secret and secret_state(secret) not in ("set", "public"):
        what = f"the password of {name} is no hash: no password lets in"
        yield Problem(LIVE_CONF, what, "write the hash of crypt(5), or nothing to lock it")
    passwd = (subject.tree.read("/etc/passwd") or b"").decode("utf-8", "replace")
    if any(line.startswith(f"{name}:") for line in passwd.splitlines()):
        yield Problem("/etc/passwd", f"it holds the live user {name}", "remove it from the tree")
    for path in _LIVE_RULES:
        if path in subject.entries:
            what = (
                "the live system's rule for wheel is in the tree, and in what is installed from it"
            )
            yield Problem(path, what, "remove it: the initramfs writes it at each boot")


def live_public_password(subject: Subject) -> Iterator[Problem]:
    """Nobody gets into the live system over the network by the password that everybody knows."""
    conf = medium_of(subject).live_conf
    name = conf.get("LIVE_USER") or ""
    secret = conf.get("LIVE_PASSWORD", "")
    started = set(subject.tree.names(SERVICES))
    if not name or not is_public(secret):
        return
    if "dropbear" in started or ("sshd" in started and lets_in_by_password(subject.tree)):
        what = f"{name} gets in over the network by Void's public password"
        hint = (
            "set live.access.password, or leave sshd out of the services, where others can reach it"
        )
        yield Problem(LIVE_CONF, what, hint)


def _initramfs(medium: LiveMedium) -> Initramfs:
    return medium.initramfs or Initramfs(0)


def _builtin(subject: Subject) -> frozenset[str]:
    """The names of the modules that the started kernel has in itself."""
    release = medium_of(subject).kernel.release
    content = subject.tree.read(f"/usr/lib/modules/{release}/modules.builtin") or b""
    return frozenset(_module(line) for line in content.decode("utf-8", "replace").splitlines())


def _module(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("_", "-")


def _vermagic(content: bytes) -> str | None:
    """The kernel that a module says it is for (kernel, include/linux/vermagic.h)."""
    if not content:
        return None
    try:
        plain = Stream(BytesIO(content), where="module", max_bytes=_MAX_MODULE_BYTES).read(
            _MAX_MODULE_BYTES
        )
    except PackageError:
        return None
    match = _VERMAGIC.search(plain)
    return None if match is None else match[1].decode("ascii")
