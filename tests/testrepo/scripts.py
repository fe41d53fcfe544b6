"""Writes INSTALL and REMOVE scripts in the frame Void's package builder gives them.

The frame: variables of the six arguments, the exported variables of the triggers, one call per
trigger and action, the package's own text, `exit 0`. A trigger that fails ends the script (with
the status of the test, as Void's do).
"""

from __future__ import annotations

from collections.abc import Mapping

_TRIGGER_OF = {
    "kernel_hooks_version": "kernel-hooks",
    "make_dirs": "mkdirs",
    "register_shell": "register-shell",
    "system_accounts": "system-accounts",
    "system_groups": "system-accounts",
}
_TARGETS = {
    "kernel-hooks": ("pre-install", "post-install", "pre-remove", "post-remove"),
    "mkdirs": ("post-install", "post-remove"),
    "register-shell": ("post-install", "post-remove"),
    "system-accounts": ("post-install", "pre-remove"),
}
_HEADER = """\
#!/bin/sh
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


def triggers_of(variables: Mapping[str, str]) -> list[str]:
    """The trigger scripts that the variables call for, sorted."""
    return sorted({_TRIGGER_OF[name] for name in variables if name in _TRIGGER_OF})


def render_script(
    stage: str, variables: Mapping[str, str], own: str, *, accounts_first: bool = True
) -> bytes | None:
    """The script for `stage` (`install` or `remove`), or None if it would do nothing.

    Args:
        stage: which of the two scripts.
        variables: exported for the triggers; their names choose the triggers.
        own: shell text of the package itself; `$ACTION` and the others are set.
        accounts_first: call system-accounts before the others, so that directories find owners.
    """
    names = sorted(
        triggers_of(variables),
        key=lambda name: (accounts_first and name != "system-accounts", name),
    )
    cases = {
        action: [name for name in names if f"{action}-{stage}" in _TARGETS[name]]
        for action in ("pre", "post")
    }
    if not any(cases.values()) and not own:
        return None
    lines = [_HEADER]
    lines += [f'export {name}="{value}"\n' for name, value in sorted(variables.items())]
    if any(cases.values()):
        lines.append('\ncase "${ACTION}" in\n')
        for action, chosen in cases.items():
            calls = [_CALL.format(trigger=name, target=f"{action}-{stage}") for name in chosen]
            if calls:
                lines += [f"{action})\n", *calls, "\t;;\n"]
        lines.append("esac\n")
    lines += ["\n", own, "\nexit 0\n"]
    return "".join(lines).encode()
