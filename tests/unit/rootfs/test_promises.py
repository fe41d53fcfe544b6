"""What scripts promise is held against a tree: what is missing is told, what may differ is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import pytest

from tests.generated_script import install_script
from voidimg.rootfs.promises import (
    CERTIFICATES,
    DRACUT,
    BrokenPromise,
    PackageScript,
    broken_promises,
    unread_promises,
)


@dataclass(frozen=True)
class Here:
    """What is at a path."""

    kind: str = "directory"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size_bytes: int = 1


PROGRAM = Here("file", 0o755)


@dataclass(frozen=True)
class KnownTree:
    """A tree of which everything is known."""

    passwd: str = "root:x:0:0::/root:/bin/sh\n_x:x:999:998:X:/var/empty:/sbin/nologin\n"
    shadow: str | None = "root:*:1::::::\n_x:!:1::::::\n"
    group: str = "root:x:0:\n_x:x:998:\naudio:x:12:_x,other\n"
    shells: str = "/bin/sh\n"
    places: Mapping[str, Here] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        text = getattr(self, path.rpartition("/")[2])
        return None if text is None else text.encode()

    def leads_to(self, path: str) -> Here | None:
        return self.places.get(path)


def package(variables: Mapping[str, str], own: str = "", name: str = "p") -> PackageScript:
    return PackageScript(name, f"{name}-1.0_1", install_script(variables, own))


def broken(
    variables: Mapping[str, str],
    tree: KnownTree,
    *others: PackageScript,
    own: str = "",
    known: Collection[str] = (),
    held_back: Collection[str] = (),
) -> list[BrokenPromise]:
    scripts = [package(variables, own), *others]
    return list(broken_promises(scripts, tree, of={"p"}, known=known, held_back=held_back))


SOUND = KnownTree()
ACCOUNT = {"system_accounts": "_x"}
VAR = "/var/lib/x"


# --- accounts and groups -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        ACCOUNT,
        {"system_accounts": "_x:999"},
        {"system_accounts": "_x", "_x_homedir": "/var/empty/", "_x_shell": "/sbin/nologin"},
        {"system_accounts": "_x", "_x_groups": "audio"},
        {"system_accounts": "_x", "_x_pgroup": "_x"},
        {"system_groups": "audio _x:998"},
        {"system_accounts": "root"},
    ],
)
def test_accounts_that_are_there(variables: Mapping[str, str]) -> None:
    """In every form that a template can ask for them."""
    assert broken(variables, SOUND) == []


@pytest.mark.parametrize(
    ("variables", "tree", "promised", "found", "lasts"),
    [
        ({"system_accounts": "_y"}, SOUND, "the account _y", "/etc/passwd has no line", "always"),
        ({"system_accounts": "_y:5"}, SOUND, "the group _y", "/etc/group has no line", "always"),
        ({"system_groups": "kvm:24"}, SOUND, "the group kvm", "/etc/group has no line", "always"),
        (ACCOUNT, replace(SOUND, shadow="root:*:1::::::\n"), "the account _x", "/etc/shadow",
         "always"),
        (ACCOUNT, replace(SOUND, passwd="_x:x:1\n"), "the account _x", "3 fields", "always"),
        ({**ACCOUNT, "_x_pgroup": "mail"}, SOUND, "the group mail", "/etc/group", "always"),
        ({"system_accounts": "_x:22"}, SOUND, "the uid 22 of", "it is 999", "usually"),
        ({**ACCOUNT, "_x_homedir": VAR}, SOUND, f"the home {VAR}", "/var/empty", "at first"),
        ({**ACCOUNT, "_x_shell": "/bin/sh"}, SOUND, "the shell /bin/sh", "nologin", "at first"),
        ({**ACCOUNT, "_x_groups": "root,audio"}, SOUND, "_x in the group root", "not in it",
         "at first"),
        ({**ACCOUNT, "_x_pgroup": "audio"}, SOUND, "the group audio as the first", "998",
         "usually"),
    ],
)  # fmt: skip
def test_accounts_that_are_not(
    variables: Mapping[str, str], tree: KnownTree, promised: str, found: str, lasts: str
) -> None:
    """What is missing is told with the package and the variable, and what is there instead."""
    told = broken(variables, tree)
    assert any(
        promised in one.promised and found in one.found and one.lasts == lasts for one in told
    ), told
    assert {one.package for one in told} == {"p-1.0_1"}
    assert {one.variable for one in told} <= {"system_accounts", "system_groups"}


def test_without_shadow_passwd_is_enough() -> None:
    """Before pwconv has run there is no file for what is not in passwd."""
    assert broken(ACCOUNT, replace(SOUND, shadow=None)) == []


def test_an_account_that_was_there_before_is_left_as_it_is() -> None:
    """The trigger makes no account that exists: its number and home are another's affair."""
    variables = {"system_accounts": "_x:22", "_x_homedir": VAR, "_x_groups": "root"}
    assert broken(variables, SOUND, known={"_x"}) == []


def test_two_packages_may_want_one_account_in_two_ways() -> None:
    """The first makes it; both are content."""
    other = package({"system_accounts": "_x:999", "_x_homedir": "/var/empty"}, name="q")
    assert broken({"system_accounts": "_x:22", "_x_homedir": VAR}, SOUND, other) == []


def test_the_first_group_of_an_earlier_account_is_taken_over() -> None:
    """The trigger does not forget the group that it gave to the account before."""
    tree = replace(
        SOUND,
        passwd=SOUND.passwd + "_y:x:997:998::/:/sbin/nologin\n",
        shadow=f"{SOUND.shadow}_y:!:::::::\n",
        group=SOUND.group + "_y:x:997:\n",
    )
    assert broken({"system_accounts": "_x _y"}, tree) == []
    assert len(broken({"system_accounts": "_y"}, tree)) == 1


# --- directories -------------------------------------------------------------------------------


def test_directories_with_mode_and_owner() -> None:
    """Of names or numbers; bits that chmod leaves on a directory are no difference."""
    tree = replace(SOUND, places={VAR: Here(mode=0o2750, uid=999, gid=998), "/tmp/x": Here()})
    assert broken({"make_dirs": f"{VAR} 0750 _x _x\n/tmp/x 755 0 root"}, tree) == []


@pytest.mark.parametrize(
    ("place", "words", "found", "lasts"),
    [
        (None, "0755 root root", "nothing is there", "always"),
        (Here("file"), "0755 root root", "it is a file", "always"),
        (Here(mode=0o700), "0755 root root", "mode 0700 of 0:0", "usually"),
        (Here(mode=0o755), "2755 root root", "mode 0755 of 0:0", "usually"),
        (Here(mode=0o755), "1777 root root", "mode 0755 of 0:0", "usually"),
        (Here(), "0755 _x root", "mode 0755 of 0:0", "usually"),
        (Here(), "0755 root _x", "mode 0755 of 0:0", "usually"),
        (Here(), "0755 _gone _gone", "there is no account _gone, and there is no group", "usually"),
    ],
)
def test_directories_that_are_not_as_promised(
    place: Here | None, words: str, found: str, lasts: str
) -> None:
    """Missing, of another kind, with another mode or owner."""
    tree = SOUND if place is None else replace(SOUND, places={VAR: place})
    (told,) = broken({"make_dirs": f"{VAR} {words}"}, tree)
    assert (told.variable, told.lasts) == ("make_dirs", lasts)
    assert VAR in told.promised
    assert found in told.found


@pytest.mark.parametrize("path", ["/run/x", "/var/cache/x", "/tmp/x", "/var/run/x", "/var/tmp/x"])
def test_what_is_cleaned_or_made_at_each_start_is_missed_only_at_first(path: str) -> None:
    """Right after configuring it must be there all the same."""
    (told,) = broken({"make_dirs": f"{path} 0755 root root"}, SOUND)
    assert told.lasts == "at first"


@pytest.mark.parametrize(
    "own", ["chmod 700 var/lib/x\n", "chown _x ./var/lib/x/\n", 'chown -R _x "var/lib"\n']
)
def test_own_text_may_change_what_the_trigger_made(own: str) -> None:
    """Of this package or of another; to remove it is another thing."""
    tree = replace(SOUND, places={VAR: Here(mode=0o711)})
    variables = {"make_dirs": f"{VAR} 0755 root root"}
    assert broken(variables, tree, own=own) == []
    assert broken(variables, tree, package({}, own, "q")) == []
    assert len(broken(variables, tree, own="chmod 700 var/lib/xy var/lib\n")) == 1
    assert len(broken(variables, SOUND, own=own)) == 1


def test_two_packages_may_want_one_directory_in_two_ways() -> None:
    """The one configured last has its way."""
    tree = replace(SOUND, places={VAR: Here(mode=0o700)})
    other = package({"make_dirs": f"{VAR} 0700 root root"}, name="q")
    assert broken({"make_dirs": f"{VAR} 0755 root root"}, tree, other) == []


@pytest.mark.parametrize(
    "words",
    [
        *("/a 0755 root", "a 0755 root root", "/a mode root root", "/../a 0755 root root"),
        *("/dev/net 0755 root root", "/proc/x 0755 root root", "/sys 0755 root root"),
    ],
)
def test_some_directories_are_not_asked_for(words: str) -> None:
    """The trigger makes something else of what is malformed, and cannot make what is mounted."""
    assert broken({"make_dirs": words}, SOUND) == []


# --- shells, initramfs, certificates -----------------------------------------------------------


def test_shells() -> None:
    """As the trigger looks for them: a part of a line is enough for it."""
    assert broken({"register_shell": "/bin/sh"}, SOUND) == []
    assert broken({"register_shell": "/bin/sh"}, replace(SOUND, shells="/usr/bin/sh\n")) == []
    (told,) = broken({"register_shell": "/bin/sh /bin/zsh"}, SOUND)
    assert (told.promised, told.lasts) == ("the login shell /bin/zsh", "usually")


KERNEL = {"kernel_hooks_version": "6.6.1_1"}
HOOK = "/etc/kernel.d/post-install/20-initramfs"
IMAGE = "/boot/initramfs-6.6.1_1.img"


@pytest.mark.parametrize(
    ("places", "count"),
    [
        ({DRACUT: PROGRAM, HOOK: PROGRAM}, 1),
        ({DRACUT: PROGRAM, HOOK: PROGRAM, IMAGE: Here("file", size_bytes=0)}, 1),
        ({DRACUT: PROGRAM, HOOK: PROGRAM, IMAGE: Here("file")}, 0),
        ({DRACUT: PROGRAM}, 0),
        ({HOOK: PROGRAM}, 0),
        ({DRACUT: Here("file", 0o644), HOOK: PROGRAM}, 0),
    ],
)
def test_the_initramfs_of_a_kernel(places: Mapping[str, Here], count: int) -> None:
    """Only where dracut and its hook are there to make it, and could be run."""
    tree = replace(SOUND, places=places)
    assert len(broken(KERNEL, tree)) == count
    assert broken(KERNEL, tree, held_back=[DRACUT]) == []
    assert broken(KERNEL, tree, PackageScript("mkinitcpio", "mkinitcpio-1_1", b"")) == []


@pytest.mark.parametrize(
    "own",
    [
        "env DESTDIR=. usr/bin/update-ca-certificates --fresh >/dev/null 2>&1\n",
        "cat certs >etc/ssl/certs/ca-certificates.crt\n",
    ],
)
def test_certificates(own: str) -> None:
    """What silences its program says nothing when it fails."""
    script = [package({}, own, "ca-certificates")]
    assert broken_promises(script, replace(SOUND, places={CERTIFICATES: Here("file")})) == ()
    for places in ({}, {CERTIFICATES: Here("file", size_bytes=0)}, {CERTIFICATES: Here()}):
        told = broken_promises(script, replace(SOUND, places=places))
        # A directory has a size, too, and is no bundle.
        assert [one.lasts for one in told] == ["always"]
    assert broken({}, SOUND, own=own) == []
    program = replace(SOUND, places={"/usr/bin/update-ca-certificates": PROGRAM})
    assert len(broken({}, program, own=own)) == 1


# --- all of them -------------------------------------------------------------------------------


def test_everything_that_is_broken_is_told_at_once() -> None:
    """In the order of the packages; those that are not asked for are not told."""
    scripts = [
        package({"system_accounts": "_a", "make_dirs": "/a 0755 root root"}, name="a"),
        package({"register_shell": "/bin/b"}, name="b"),
        PackageScript("c", "c-1_1", b"exit 0\n"),
    ]
    told = broken_promises(scripts, SOUND)
    assert [(one.package[0], one.variable) for one in told] == [
        ("a", "system_accounts"),
        ("a", "system_accounts"),
        ("a", "make_dirs"),
        ("b", "register_shell"),
    ]
    assert [one.package[0] for one in broken_promises(scripts, SOUND, of={"b"})] == ["b"]


def test_many_promises_are_judged_in_time() -> None:
    """Those of a tree that was made to take time and memory are judged like others."""
    rows = "".join(f"a{number}:x:{'9' * 5000}:1::/:/x\n" for number in range(1000))
    tree = replace(SOUND, passwd=rows, group=rows)
    words = " ".join(f"a{number}" for number in range(1000))
    own = "chown -R x " + "-R /var " * 100_000
    scripts = [
        package({"system_accounts": words, "make_dirs": f"{'/d 0755 a1 a1 ' * 1000}"}, own, f"p{n}")
        for n in range(20)
    ]
    assert {one.variable for one in broken_promises(scripts, tree)} == {
        "make_dirs",
        "system_accounts",
    }


def test_what_cannot_be_read_is_named() -> None:
    """A promise that only a shell can read is not checked, and that is said."""
    script = package({"make_dirs": "/$x 0755 root root", "_x_descr": "$"})
    assert unread_promises([script]) == (("p-1.0_1", "make_dirs"),)
    assert broken_promises([script], SOUND) == ()
