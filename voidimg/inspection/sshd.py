"""Says whom sshd lets in and how, by its configuration (sshd_config(5)). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from voidimg.inspection.tree_files import TreeFiles

CONFIG = "/etc/ssh/sshd_config"
DIRECTORY = "/etc/ssh/sshd_config.d/"
READ = (CONFIG, DIRECTORY)
"""The files that are looked at."""

_MAX_FILES = 256
"""Files that include one another could else be read for ever."""


def sshd_value(files: TreeFiles, keyword: str, default: str, *names: str) -> str | None:
    """What is in force for everybody, in lower case; None without a configuration.

    The first value counts, of `keyword` or of one of its other `names`; files that are included
    stand where they are named. A Match block holds for some only.
    """
    if files.read(CONFIG) is None:
        return None
    known = {keyword.lower(), *(name.lower() for name in names)}
    for words in _settings(files):
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


def _settings(files: TreeFiles) -> Iterator[list[str]]:
    """The settings that hold for everybody, in the order in which sshd reads them."""
    pending = [_lines(files, CONFIG)]
    for_all = [True]
    opened = 1
    while pending:
        words = next(pending[-1], None)
        if words is None:
            pending.pop()
            for_all.pop()
        elif words[0].lower() == "match":
            for_all[-1] = [word.lower() for word in words[1:]] == ["all"]
        elif not for_all[-1]:
            continue
        elif words[0].lower() == "include":
            for path in reversed(_included(files, words[1:])):
                if opened < _MAX_FILES:
                    opened += 1
                    pending.append(_lines(files, path))
                    for_all.append(True)
        else:
            yield words


def _lines(files: TreeFiles, path: str) -> Iterator[list[str]]:
    for line in (files.read(path) or b"").decode("utf-8", "replace").splitlines():
        words = [word.strip('"') for word in line.replace("=", " ", 1).split()]
        if words and not words[0].startswith("#"):
            yield words


def _included(files: TreeFiles, patterns: list[str]) -> list[str]:
    found = []
    for pattern in patterns:
        whole = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        directory, _, names = whole.rpartition("/")
        found += [
            f"{directory}/{name}"
            for name in files.names(directory or "/")
            if fnmatchcase(name, names)
        ]
    return found
