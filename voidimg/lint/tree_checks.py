"""Checks of the installed system, whatever holds it: services, packages, traces of the build."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase, translate

from voidimg.inspection.findings import SERVICES
from voidimg.inspection.findings import root_password as password_of_root
from voidimg.inspection.rights import PASSWD, SHADOW, find_accounts, find_rights
from voidimg.inspection.sshd import lets_in_by_password, lets_in_root_by_password
from voidimg.lint.container_checks import is_incus
from voidimg.lint.model import Problem
from voidimg.lint.netboot_checks import is_netboot
from voidimg.lint.subject import GREETER, SESSION, Subject
from voidimg.rootfs.clean import RULES, Rule
from voidimg.rootfs.identities import MachineIdentity, identity_of
from voidimg.rootfs.locale import SESSIONS
from voidimg.rootfs.promises import Lasts

_RESOLV_CONF = "/etc/resolv.conf"
_ANY_RULE = re.compile("|".join(translate(rule.pattern) for rule in RULES))
"""Most paths match no rule; this says so at once."""
_CLEAN_HINT = "remove it before the image is made; a build by voidimg does"


def is_system(subject: Subject) -> bool:
    """Of everything that must hold an installed system."""
    return not (is_netboot(subject) or is_incus(subject))


def has_tree(subject: Subject) -> bool:
    """Of those in which a system was found; whether there must be one is a check of its own."""
    return bool(subject.entries) and is_system(subject)


def has_lightdm(subject: Subject) -> bool:
    """Of live systems that start LightDM."""
    return subject.medium is not None and "lightdm" in subject.found.services


def root_tree(subject: Subject) -> Iterator[Problem]:
    """The artifact holds an installed system."""
    for path in ("/etc", "/usr/bin"):
        entry = subject.leads_to(path)
        if entry is None or entry.kind != "directory":
            yield Problem(
                path, "there is no such directory: no installed system was found",
                "is the file whole, and what its name says?",
            )  # fmt: skip


def packages_configured(subject: Subject) -> Iterator[Problem]:
    """There is a package database, and every package in it was configured."""
    if not subject.found.packages:
        yield Problem("pkgdb", "no package is in the package database", "install the base system")
    for package in subject.found.packages:
        if package.state != "installed":
            yield Problem(
                package.pkgver, f"the package is {package.state or 'in no state'}, not configured",
                "its script failed or did not run: build again, or xbps-reconfigure -f",
            )  # fmt: skip


def script_promises(subject: Subject) -> Iterator[Problem]:
    """What INSTALL scripts promise is there: accounts, groups, directories, certificates."""
    yield from _broken(subject, "always")


def script_ownership(subject: Subject) -> Iterator[Problem]:
    """What INSTALL scripts make is unchanged: modes, owners, uids, login shells, initramfs."""
    yield from _broken(subject, "usually")


def _broken(subject: Subject, lasts: Lasts) -> Iterator[Problem]:
    for broken in subject.broken_promises:
        if broken.lasts == lasts:
            what = f"{broken.promised} ({broken.variable}) is not there: {broken.found}"
            yield Problem(broken.package, what, broken.hint)


def service_exists(subject: Subject) -> Iterator[Problem]:
    """Every enabled service leads to a directory with a program to run."""
    for name in subject.found.services:
        link = f"{SERVICES}/{name}"
        entry = subject.leads_to(link)
        if entry is None or entry.kind != "directory":
            target = subject.entries[link].target if link in subject.entries else ""
            what = f"the link leads to {target}, which does not exist"
            yield Problem(link, what, f"add the package that brings {name}, or do not enable it")
            continue
        run = subject.leads_to(f"{link}/run")
        if run is None or run.kind != "file" or not run.mode & 0o111:
            yield Problem(
                f"{link}/run", "the service has no program that can be started",
                "it must be a file with mode 0755",
            )  # fmt: skip


def host_key(subject: Subject) -> Iterator[Problem]:
    """No host keys of any program: machines that share them can be impersonated by one another."""
    for path, one in _identities(subject):
        if one.kind == "host key":
            what = f"all machines made from this would share this host key of {one.of}"
            yield Problem(path, what, _CLEAN_HINT)


def machine_identity(subject: Subject) -> Iterator[Problem]:
    """No machine-id, DUID, initiator name or random seed: each machine makes its own."""
    for path, one in _identities(subject):
        if one.kind in ("identity", "seed"):
            yield Problem(path, f"left over from the build: {one.reason}", _CLEAN_HINT)


def shared_secret(subject: Subject) -> Iterator[Problem]:
    """No private keys and secrets: whoever has the image has them, and all machines share them."""
    for path, one in _identities(subject):
        if one.kind == "secret":
            yield Problem(path, one.reason, "let each machine get its own after the first start")


def _identities(subject: Subject) -> Iterator[tuple[str, MachineIdentity]]:
    """What only one machine may have; not what is as its package has it."""
    for path, entry in subject.entries.items():
        if entry.kind == "directory" or (one := identity_of(path)) is None:
            continue
        if entry.kind == "file" and not entry.size_bytes and path == "/etc/machine-id":
            continue  # empty, it asks for one to be made
        if not subject.is_of_package(path):
            yield path, one


def resolv_conf(subject: Subject) -> Iterator[Problem]:
    """No name servers of the builder."""
    entry = subject.entries.get(_RESOLV_CONF)
    if entry is not None and entry.kind == "file" and entry.size_bytes:
        yield Problem(_RESOLV_CONF, "it holds the name servers of the builder", _CLEAN_HINT)


def leftover(subject: Subject) -> Iterator[Problem]:
    """No caches, logs, lock files or histories of the build."""
    for path, rule in _left_over(subject):
        if identity_of(path) is None and path != _RESOLV_CONF:
            yield Problem(path, f"left over from the build: {rule.reason}", _CLEAN_HINT)


def builder_path(subject: Subject) -> Iterator[Problem]:
    """The package database names no directory of the builder."""
    for pkgname, where in subject.repositories.items():
        if where.startswith(("/", "file:")):
            yield Problem(
                pkgname, f"its repository is a directory of the builder: {where}",
                "build from the repository's URL, or let voidimg build",
            )  # fmt: skip


def root_password(subject: Subject) -> Iterator[Problem]:
    """Root exists, and nobody gets in as root without a password."""
    state = password_of_root(subject.tree)
    if state in ("empty", "absent"):
        what = "root has no password at all" if state == "empty" else "there is no user root"
        yield Problem(SHADOW, what, "set or lock the password of root in the profile")


def public_password(subject: Subject) -> Iterator[Problem]:
    """Nobody gets in over the network by the password that everybody knows."""
    started = set(subject.tree.names(SERVICES))
    by_dropbear = "dropbear" in started
    if not by_dropbear and not ("sshd" in started and lets_in_by_password(subject.tree)):
        return
    server = "dropbear" if by_dropbear else "sshd"
    for account in find_accounts(subject.tree):
        root = account.name == "root"
        if root and not by_dropbear and not lets_in_root_by_password(subject.tree):
            continue
        if not account.has_public_password or not account.logs_in:
            continue
        more = ", who can become root" if account.root and not root else ""
        what = f"{server} lets in {account.name}{more}, by Void's public password"
        hint = "give the account a password of its own or none (false), or let in by keys only"
        yield Problem(PASSWD, what, hint)


def empty_password(subject: Subject) -> Iterator[Problem]:
    """Nobody gets in without a password, least of all who can become root."""
    for account in find_accounts(subject.tree):
        if account.name == "root" or not account.is_open or not account.logs_in:
            continue  # root has a check of its own
        powers = account.root
        more = f", and can become root: {', '.join(powers)}" if powers else ""
        what = f"{account.name} has no password at all{more}"
        yield Problem(PASSWD, what, "give the account a password, or lock it")


def unasked_root(subject: Subject) -> Iterator[Problem]:
    """Nobody but root may do everything without being asked for a password."""
    for right in find_rights(subject.tree):
        if right.unasked:
            what = f"{right.who} may do everything as root: {right.by}"
            yield Problem(right.where, what, "remove the rule, or let it ask for a password")


def greeter_layout(subject: Subject) -> Iterator[Problem]:
    """LightDM's greeter has its menu of keyboard layouts."""
    text = (subject.tree.read(GREETER) or b"").decode("utf-8", "replace")
    hint = "set indicators = ~host;~spacer;~clock;~spacer;~layout;~session;~a11y;~power"
    indicators = _indicators(text)
    if indicators is None:
        yield Problem(GREETER, "the greeter's indicators are not set in [greeter]", hint)
    elif "layout" not in indicators:
        what = "the greeter has no menu of layouts: a password on other keys cannot be typed"
        yield Problem(GREETER, what, hint)


def greeter_session(subject: Subject) -> Iterator[Problem]:
    """What LightDM is told to start exists."""
    name = (subject.tree.read(SESSION) or b"").decode("utf-8", "replace").strip()
    if not name:
        yield Problem(SESSION, "it names no session", "write the name of the session into it")
    elif not any(subject.leads_to(f"{place}/{name}.desktop") for place in SESSIONS):
        yield Problem(
            SESSION, f"there is no session {name} in {' or '.join(SESSIONS)}",
            "add the package of the desktop, or name another session",
        )  # fmt: skip


def _indicators(text: str) -> tuple[str, ...] | None:
    section, found = "", None
    for line in text.splitlines():
        plain = line.strip()
        if plain.startswith("["):
            section = plain
        elif section == "[greeter]" and plain.partition("=")[0].strip() == "indicators":
            value = plain.partition("=")[2]
            found = tuple(one.strip().removeprefix("~") for one in value.split(";"))
    return found


def _left_over(subject: Subject) -> Iterator[tuple[str, Rule]]:
    """What a build by voidimg takes out, and is there all the same."""
    for path, entry in subject.entries.items():
        if entry.kind == "directory" or _ANY_RULE.match(path) is None:
            continue
        rule = next((rule for rule in RULES if fnmatchcase(path, rule.pattern)), None)
        if rule is None:
            continue
        if rule.action == "remove" or (entry.kind == "file" and entry.size_bytes):
            yield path, rule
