"""Who can become root: rules of sudo, doas and polkit, groups, numbers, and empty passwords."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from voidimg.inspection.rights import Account, find_accounts, find_rights, secret_state
from voidimg.inspection.tree_files import TarFiles

HASH = "$6$salt$" + "h" * 86
GROUPS = "root:x:0:\nwheel:x:4:eve,bob\nusers:x:100:\ndocker:x:101:bob\n"


def files_of(contents: Mapping[str, str]) -> TarFiles:
    files = TarFiles()
    for path, text in contents.items():
        directory, _, name = path.rpartition("/")
        files.directories.setdefault(directory or "/", set()).add(name)
        files.kept[path] = text.encode()
    return files


def account(
    name: str = "eve", secret: str = "", *, uid: int = 1000, gid: int = 1000, **more: str
) -> Account:
    """The account `name` of a tree with the further files `more`, by their last names."""
    places = {"sudoers": "/etc/sudoers", "rule": "/etc/sudoers.d/rule", "doas": "/etc/doas.conf",
              "polkit": "/etc/polkit-1/rules.d/x.rules"}  # fmt: skip
    found = find_accounts(
        files_of(
            {
                "/etc/passwd": f"root:x:0:0::/root:/bin/sh\n{name}:x:{uid}:{gid}::/h:/bin/sh\n",
                "/etc/shadow": f"root:!:1::::::\n{name}:{secret}:1::::::\n",
                "/etc/group": GROUPS,
                **{places[key]: text for key, text in more.items()},
            }
        )
    )
    return next(one for one in found if one.name == name)


BY = {
    "a number": {"uid": 0},
    "a group": {"name": "bob"},
    "sudo": {"sudoers": "eve ALL=(ALL) NOPASSWD: ALL\n"},
    "sudo by a group": {"rule": "%wheel ALL=(ALL:ALL) ALL\n"},
    "sudo for all": {"rule": "ALL ALL=(ALL) NOPASSWD: ALL\n"},
    "sudo by a number": {"rule": "#1000 ALL=NOPASSWD: ALL\n"},
    "sudo by an alias": {"rule": "User_Alias ADMINS = bob, eve : X = y\nADMINS ALL=(ALL) ALL\n"},
    "sudo over two lines": {"sudoers": "bob, \\\n  eve ALL = \\\n (root) ALL\n"},
    "sudo of a shell": {"sudoers": "eve ALL=(root) NOPASSWD: /usr/bin/poweroff, /bin/bash\n"},
    "doas": {"doas": "permit nopass :wheel\n"},
    "doas of a user": {"doas": "# x\npermit persist eve as root\n"},
    "polkit": {"polkit": 'polkit.addRule(function(a, s) { if (s.isInGroup("wheel")) return polkit.'
                         "Result.YES; });"},
    "polkit of a user": {"polkit": "polkit.addRule(function(action, subject) { if (subject.user =="
                                   " 'eve') { return polkit.Result.YES; } });"},
}  # fmt: skip


@pytest.mark.parametrize("how", BY)
def test_every_way_to_become_root_is_seen(how: str) -> None:
    assert account(**BY[how]).root  # type: ignore[arg-type]


NOT = {
    "nothing": {},
    "a comment": {"sudoers": "# eve ALL=(ALL) NOPASSWD: ALL\n"},
    "somebody else": {"sudoers": "bob ALL=(ALL) ALL\n%users ALL=(ALL) ALL\n"},
    "as another user": {"sudoers": "eve ALL=(www) NOPASSWD: ALL\n"},
    "only to stop": {"sudoers": "eve ALL=(ALL) NOPASSWD: /usr/bin/poweroff, /usr/bin/reboot\n"},
    "a denied one": {"doas": "deny eve\n"},
    "doas as another": {"doas": "permit eve as www\n"},
    "a rule for one action": {
        "polkit": 'polkit.addRule(function(a, s) { if (action.id == "x" && s.isInGroup("wheel"))'
                  " return polkit.Result.YES; });"},
    "a rule that asks": {
        "polkit": 'polkit.addRule(function(a, s) { if (s.isInGroup("wheel")) return polkit.Result.'
                  "AUTH_SELF; });"},
    "a rule that is no rule": {"polkit": '// addRule isInGroup("wheel") Result.YES\n'},
}  # fmt: skip


@pytest.mark.parametrize("how", NOT)
def test_what_makes_nobody_root(how: str) -> None:
    assert account(**NOT[how]).root == ()  # type: ignore[arg-type]


def test_files_that_sudo_leaves_out_give_no_right() -> None:
    """Those with a dot or a final ~ in their name."""
    rule = "eve ALL=(ALL) NOPASSWD: ALL\n"
    assert find_rights(files_of({"/etc/sudoers.d/a.old": rule, "/etc/sudoers.d/b~": rule})) == ()
    (right,) = find_rights(files_of({"/etc/sudoers.d/c": rule}))
    assert (right.who, right.unasked, right.where) == ("eve", True, "/etc/sudoers.d/c")


def test_a_password_is_asked_unless_a_rule_says_otherwise() -> None:
    rules = {"/etc/sudoers": "%wheel ALL=(ALL) ALL\n"}
    assert [right.unasked for right in find_rights(files_of(rules))] == [False]
    rules["/etc/sudoers.d/a"] = "Defaults !authenticate\n"
    assert [right.unasked for right in find_rights(files_of(rules))] == [True]


@pytest.mark.parametrize(
    ("secret", "state"),
    [
        ("", "empty"),
        ("!", "locked"),
        ("*", "locked"),
        ("!!", "locked"),
        ("!" + HASH, "locked"),
        ("x", "locked"),
        ("<NULL>", "locked"),
        (HASH, "set"),
        ("$y$j9T$abc$def", "set"),
        ("abJnggxhB/yWI", "set"),
    ],
)
def test_what_a_field_of_shadow_means(secret: str, state: str) -> None:
    """What is no hash is compared with none: it locks."""
    assert secret_state(secret) == state


@pytest.mark.parametrize(
    ("field", "state"), [("x", "set"), ("", "empty"), ("*", "locked"), (HASH, "set")]
)
def test_a_password_may_stand_in_passwd(field: str, state: str) -> None:
    """Then shadow is not asked."""
    passwd = f"root:x:0:0::/root:/bin/sh\neve:{field}:1000:1000::/h:/bin/sh\n"
    tree = {"/etc/passwd": passwd, "/etc/shadow": f"eve:{HASH}:1::::::\n"}
    assert find_accounts(files_of(tree))[1].password == state


def test_an_account_that_shadow_does_not_know_is_locked() -> None:
    tree = {"/etc/passwd": "eve:x:1000:1000::/h:/usr/bin/nologin\n"}
    (found,) = find_accounts(files_of(tree))
    assert (found.password, found.logs_in) == ("locked", False)
