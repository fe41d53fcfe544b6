"""Writes INSTALL scripts in the protocol of Void's package builder, with its quirk of statuses.

The test after each call of a trigger ends the script with its own status, which is 0: what follows
a trigger that failed, the package's own text too, is left out, and nobody is told by the status.
"""

from __future__ import annotations

from collections.abc import Mapping

TARGETS = {
    "kernel-hooks": ("pre-install", "post-install"),
    "mkdirs": ("post-install",),
    "register-shell": ("post-install",),
    "system-accounts": ("post-install",),
}
"""When each trigger is called for an INSTALL script."""

_CALLED_BY = {
    "kernel_hooks_version": "kernel-hooks",
    "make_dirs": "mkdirs",
    "register_shell": "register-shell",
    "system_accounts": "system-accounts",
    "system_groups": "system-accounts",
}
_HEAD = """\
#!/bin/sh
#
# What xbps calls it with: $1 = pre or post, $2 = package name, $3 = version, $4 = yes when it is
# an update, $5 = no, $6 = architecture. Paths are relative to the root of the target.
#

export PATH="/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"

TRIGGERSDIR="./usr/libexec/xbps-triggers"
ACTION="$1"
PKGNAME="$2"
VERSION="$3"
UPDATE="$4"
CONF_FILE="$5"
ARCH="$6"

#
# The triggers come now.
#
"""


def install_script(variables: Mapping[str, str], own: str = "") -> bytes:
    """The script that exports `variables` in their order, calls their triggers, and runs `own`."""
    triggers = dict.fromkeys(_CALLED_BY[name] for name in variables if name in _CALLED_BY)
    lines = [_HEAD, *(f'export {name}="{value}"\n' for name, value in variables.items()), "\n"]
    if triggers:
        lines.append('case "${ACTION}" in\n')
        for action in ("pre", "post"):
            lines.append(f"{action})\n")
            lines += [
                _call(trigger, target)
                for trigger in triggers
                for target in TARGETS[trigger]
                if target == f"{action}-install"
            ]
            lines.append("\t;;\n")
        lines.append("esac\n\n")
    return "".join([*lines, own, "\nexit 0\n"]).encode("utf-8", "surrogateescape")


def _call(trigger: str, target: str) -> str:
    words = "${PKGNAME} ${VERSION} ${UPDATE} ${CONF_FILE}"
    return f"\t${{TRIGGERSDIR}}/{trigger} run {target} {words}\n\t[ $? -ne 0 ] && exit $?\n"
