"""What must be true of an installed system that no firmware starts: asked of its own programs.

Each is a script of the tree's ``/bin/sh``, run by root in the sandbox. It prints a line for each
fault, and a last line that only a script that came to its end prints.
"""

from __future__ import annotations

from dataclasses import dataclass

END = "voidimg-end"

_ACCOUNTS = """\
while IFS=: read -r name _ uid gid _ home shell; do
    case $shell in '' | */nologin | */false | */sync | */halt | */shutdown) continue ;; esac
    {body}
done < /etc/passwd
"""


@dataclass(frozen=True, slots=True)
class TreeStatement:
    """A `script` that finds no fault in a sound tree; `needs` is a file without which it is none.

    `seconds` is how long it may take where programs are emulated.
    """

    name: str
    script: str
    needs: str | None = None
    seconds: float = 120.0


TREE_STATEMENTS: tuple[TreeStatement, ...] = (
    TreeStatement(
        "the shell calculates",
        'test "$((6 * 7))" = 42 || echo "6 * 7 is not 42"',
    ),
    TreeStatement(
        "the shell of every account runs",
        _ACCOUNTS.format(
            body='test "$("$shell" -c \'echo $((6 * 7))\' < /dev/null 2>&1)" = 42'
            ' || echo "$shell of $name does not run"'
        ),
    ),
    TreeStatement(
        "root has a shell and a home",
        """\
line=$(grep '^root:' /etc/passwd) || echo "there is no root"
test -x "${line##*:}" || echo "the shell of root, ${line##*:}, cannot be run"
line=${line%:*}
test -d "${line##*:}" || echo "the home of root, ${line##*:}, is not there"
""",
    ),
    TreeStatement(
        "every account can begin a session",
        # su asks root for no password, and goes through PAM, as a login does.
        _ACCOUNTS.format(
            body='grep "^$name:" /etc/shadow > /dev/null || echo "$name is not in /etc/shadow"\n'
            '    answer=$(su "$name" -c "id -u" < /dev/null 2>&1)\n'
            '    test "$answer" = "$uid" || echo "no session of $name: $answer"'
        ),
        needs="/usr/bin/su",
    ),
    TreeStatement(
        "passwords and accounts belong together",
        """\
while IFS=: read -r name hash _; do
    grep "^$name:" /etc/passwd > /dev/null || echo "$name is in /etc/shadow alone"
    case $hash in '' ) echo "$name has an empty password" ;; esac
done < /etc/shadow
""",
        needs="/etc/shadow",
    ),
    TreeStatement(
        "every service that is enabled can be started",
        """\
for link in /etc/runit/runsvdir/default/*; do
    test -L "$link" || test -e "$link" || continue
    test -d "$link" || { echo "$link leads nowhere"; continue; }
    test -x "$link/run" || { echo "$link/run cannot be run"; continue; }
    read -r first < "$link/run"
    case $first in
        '#!'*) ;;
        *) echo "$link/run does not begin with #!"; continue ;;
    esac
    set -- ${first#??}
    test -x "$1" || { echo "$link/run needs $1"; continue; }
    case $1 in */sh | */bash | */dash) "$1" -n "$link/run" || echo "$link/run is no script" ;; esac
done
""",
        needs="/etc/runit/runsvdir/default",
    ),
    TreeStatement(
        "every kernel has its modules",
        """\
for kernel in /boot/vmlinu[xz]-*; do
    test -e "$kernel" || continue
    test -s "/usr/lib/modules/${kernel#/boot/vmlinu?-}/modules.dep" || echo "$kernel has none"
done
""",
        needs="/boot",
    ),
    TreeStatement(
        "the package database is consistent",
        'xbps-pkgdb -a 2>&1 || echo "xbps-pkgdb ended with status $?"',
        needs="/usr/bin/xbps-pkgdb",
        seconds=1800.0,
    ),
    TreeStatement(
        "WSL's own user is there",
        """\
user=$(sed -n 's/^ *default *= *//p' /etc/wsl.conf)
test -z "$user" || id "$user" > /dev/null || echo "$user, whom WSL logs in, is not there"
""",
        needs="/etc/wsl.conf",
    ),
)
