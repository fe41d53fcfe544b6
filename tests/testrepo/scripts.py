"""Writes INSTALL and REMOVE scripts in the form that Void's build system gives them.

The form: variables of the six arguments, the exported variables of the template, for each trigger
one call per target, the package's own text, `exit 0`. After each call stands a test whose
`exit $?` is the status of the test: a trigger that fails ends the script with 0, and the rest is
skipped, the package's own text too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from voidimg.run import run

TRIGGERS = Path(__file__).parent / "packages/xbps-triggers/files/usr/libexec/xbps-triggers"
"""The programs, which say themselves when they want to be called."""

_BY_VARIABLE = {
    "kernel_hooks_version": "kernel-hooks",
    "dkms_modules": "dkms",
    "system_groups": "system-accounts",
    "system_accounts": "system-accounts",
    "make_dirs": "mkdirs",
    "binfmts": "binfmts",
    "info_files": "info-files",
    "register_shell": "register-shell",
    "sgml_entries": "xml-catalog",
    "xml_entries": "xml-catalog",
    "font_dirs": "x11-fonts",
    "gtk_iconcache_dirs": "gtk-icon-cache",
    "pycompile_dirs": "pycompile",
    "pycompile_module": "pycompile",
}
"""Variable of the template -> the trigger it calls for, in the order of the calls."""

_BY_CONTENT = {
    "/usr/lib/udev/hwdb.d/*": "hwdb.d-dir",
    "/usr/share/applications/*": "update-desktopdb",
    "/usr/lib/gio/modules/*": "gio-modules",
    "/usr/share/glib-2.0/schemas/*": "gsettings-schemas",
    "/usr/share/mime/*": "mimedb",
}
"""What a package has -> the trigger it calls for."""

_HEADER = """\
#!/bin/sh
#
# Generated. Arguments:
#
# $1 = ACTION	[pre/post]
# $2 = PKGNAME
# $3 = VERSION
# $4 = UPDATE	[yes/no]
# $5 = CONF_FILE
# $6 = ARCH
#
# Runs with the root of the target as its working directory: paths must be relative to it.

export PATH="/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"

TRIGGERSDIR="./usr/libexec/xbps-triggers"
ACTION="$1"
PKGNAME="$2"
VERSION="$3"
UPDATE="$4"
CONF_FILE="$5"
ARCH="$6"

"""
_CALL = """\
	${{TRIGGERSDIR}}/{trigger} run {target} ${{PKGNAME}} ${{VERSION}} ${{UPDATE}} ${{CONF_FILE}}
	[ $? -ne 0 ] && exit $?
"""


def triggers_of(variables: Mapping[str, str], paths: Iterable[str] = ()) -> list[str]:
    """The triggers that the variables and paths of a package call for, as they are called."""
    asked = [trigger for name, trigger in _BY_VARIABLE.items() if name in variables]
    listed = list(paths)
    for pattern, trigger in _BY_CONTENT.items():
        if any(fnmatchcase(path, pattern) for path in listed):
            asked.append(trigger)
    return list(dict.fromkeys(asked))


@functools.cache
def targets_of(trigger: str) -> tuple[str, ...]:
    """When `trigger` is called, as it says itself; the build system asks it in the same way."""
    return tuple(run(["sh", TRIGGERS / trigger, "targets"]).stdout.decode().split())


def render_script(
    stage: Literal["install", "remove"],
    variables: Mapping[str, str],
    own: str,
    triggers: Iterable[str] | None = None,
) -> bytes | None:
    """The script for `stage`, or None for a package without triggers and text of its own.

    A package with triggers has both scripts, also where one of them calls nothing.

    Args:
        stage: which of the two scripts.
        variables: exported for the triggers.
        own: shell text of the package itself; `$ACTION` and the others are set.
        triggers: called in this order; by default those that the variables call for.
    """
    names = list(triggers_of(variables) if triggers is None else triggers)
    if not names and not own:
        return None
    lines = [_HEADER]
    lines += [f'export {name}="{value}"\n' for name, value in variables.items()]
    if names:
        lines.append('\ncase "${ACTION}" in\n')
        for action in ("pre", "post"):
            target = f"{action}-{stage}"
            lines.append(f"{action})\n")
            lines += [
                _CALL.format(trigger=name, target=target)
                for name in names
                if target in targets_of(name)
            ]
            lines.append("\t;;\n")
        lines.append("esac\n")
    lines += ["\n", own, "\nexit 0\n"]
    return "".join(lines).encode()
