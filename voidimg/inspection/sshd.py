"""Says whom sshd lets in and how, by its configuration (sshd_config(5)). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from voidimg.inspection.tree_files import TreeFiles

CONFIG = "/etc/ssh/sshd_config"
DIRECTORY = "/etc/ssh/sshd_config.d/"
READ = (CONFIG, DIRECTORY)
"""The files that are looked at."""

_MAX_INCLUDES = 16
"""As deep as sshd follows them (servconf.c, SERVCONF_MAX_DEPTH)."""


def sshd_value(files: TreeFiles, keyword: str, default: str, *names: str) -> str | None:
    """What is in force for everybody, in lower case; None without a configuration.

    The first value counts, of `keyword` or of one of its other `names`; files that are included
    stand where they are named. A Match block holds for some only.
    """
    if files.read(CONFIG) is None:
        return None
    known = {keyword.lower(), *(name.lower() for name in names)}
    for words in _settings(files, CONFIG, 0):
        if words[0].lower() in known and len(words) > 1:
            return words[1].lower()
    return default


def lets_in_by_password(files: TreeFiles) -> bool:
    """Whether somebody gets in by typing a password, asked for by sshd or by PAM."""
    other = "ChallengeResponseAuthentication"
    asks = sshd_value(files, "KbdInteractiveAuthentication", "yes", other) != "no"
    by_pam = asks and sshd_value(files, "UsePAM", "no") == "yes"
    return by_pam or sshd_value(files, "PasswordAuthentication", "yes") != "no"


def lets_in_root_by_password(files: TreeFiles) -> bool:
    """Whether root gets in by typing a password."""
    permitted = sshd_value(files, "PermitRootLogin", "prohibit-password")
    return permitted == "yes" and lets_in_by_password(files)


def _settings(files: TreeFiles, path: str, depth: int) -> Iterator[list[str]]:
    """The settings that hold for everybody, in the order in which sshd reads them."""
    for_all = True
    for line in (files.read(path) or b"").decode("utf-8", "replace").splitlines():
        words = [word.strip('"') for word in line.replace("=", " ", 1).split()]
        if not words or words[0].startswith("#"):
            continue
        if words[0].lower() == "match":
            for_all = [word.lower() for word in words[1:]] == ["all"]
        elif not for_all:
            continue
        elif words[0].lower() == "include" and depth < _MAX_INCLUDES:
            for included in _included(files, words[1:]):
                yield from _settings(files, included, depth + 1)
        else:
            yield words


def _included(files: TreeFiles, patterns: list[str]) -> Iterator[str]:
    for pattern in patterns:
        whole = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        directory, _, names = whole.rpartition("/")
        for name in files.names(directory or "/"):
            if fnmatchcase(name, names):
                yield f"{directory}/{name}"
