"""Accounts: the files' exact content, and passwords that the target's login accepts."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from voidimg.errors import PackageError, SpecError
from voidimg.identity import Identity
from voidimg.rootfs.accounts import apply_users, check_live_account, crypt_password
from voidimg.spec.model import User
from voidimg.tree.tree import Tree

DAY = date(2024, 3, 14)
EPOCH = 1_710_374_400
IDENTITY = Identity("seed")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A tree as base-files leaves it."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:99:99:Unprivileged User:/dev/null:/bin/false\n"
    )
    (etc / "group").write_text("root:x:0:\nwheel:x:4:root\naudio:x:12:\n")
    (etc / "gshadow").write_text("root:::\nwheel:::root\naudio:!::\n")
    (etc / "shadow").write_text("root:!:20000:0:99999:7:::\nnobody:!:20000:0:99999:7:::\n")
    (etc / "shadow").chmod(0o600)
    return etc


def apply(etc: Path, *users: User) -> None:
    with Tree(etc.parent) as tree:
        apply_users(tree, users, identity=IDENTITY, day=DAY, epoch=EPOCH)


def test_a_password_is_sha512_crypt() -> None:
    """With 5000 rounds, as crypt(3) of glibc computes it."""
    assert crypt_password("Hello world!", "saltstring") == (
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCo"
        "EOfaS35inz1"
    )


@pytest.mark.parametrize("password", ["", "two\nlines", "nul\0", "x" * 257])
def test_a_password_that_cannot_be_stored_is_refused(password: str) -> None:
    """Rather than cut off; the password is not in the message."""
    with pytest.raises(SpecError) as caught:
        crypt_password(password, "salt")
    assert not password or password not in str(caught.value)


def test_roots_password_is_set_and_every_day_is_the_release(etc: Path) -> None:
    """Nothing else changes; the salt derives from the identity."""
    apply(etc, User(name="root", password="voidlinux"))
    root, nobody = (etc / "shadow").read_text().splitlines()
    hashed = crypt_password("voidlinux", IDENTITY.salt("password/root"))
    assert root == f"root:{hashed}:19796:0:99999:7:::"
    assert nobody == "nobody:!:19796:0:99999:7:::"
    assert (etc / "shadow").stat().st_mode & 0o7777 == 0o600
    assert (etc / "passwd").read_text().startswith("root:x:0:0:root:/root:/bin/sh\n")


def test_no_password_locks(etc: Path) -> None:
    """An account without a password cannot log in with one."""
    apply(etc, User(name="root"))
    assert (etc / "shadow").read_text().startswith("root:!:19796:")


@pytest.mark.parametrize("kind", ["file", "link", "of another"])
def test_what_cannot_be_a_home_is_refused(etc: Path, kind: str) -> None:
    """A package or file put it there; the new user could not write in it."""
    home = etc.parent / "home/anna"
    home.parent.mkdir()
    if kind == "file":
        home.touch()
    elif kind == "link":
        home.symlink_to("/srv")
    elif os.geteuid() == 0:
        home.mkdir()
    else:
        pytest.skip("gives a directory away")
    with pytest.raises(SpecError) as caught:
        apply(etc, User(name="anna"))
    assert caught.value.code == "E-SPEC-HOME"


def test_a_new_user_has_a_group_and_a_home(etc: Path) -> None:
    """With the files of /etc/skel, and membership in groups that exist."""
    (etc / "skel/.config").mkdir(parents=True)
    (etc / "skel/.bashrc").write_text("# rc\n")
    (etc / "skel/.profile").symlink_to(".bashrc")
    (etc / "bash").touch(0o755)
    user = User(
        name="anna", groups=("wheel", "audio"), shell="/etc/bash", description="Anna", password="a"
    )
    apply(etc, user)
    assert (etc / "passwd").read_text().splitlines()[-1] == (
        "anna:x:1000:1000:Anna:/home/anna:/etc/bash"
    )
    assert (etc / "group").read_text() == (
        "root:x:0:\nwheel:x:4:root,anna\naudio:x:12:anna\nanna:x:1000:\n"
    )
    assert (etc / "gshadow").read_text() == "root:::\nwheel:::root,anna\naudio:!::anna\nanna:!::\n"
    home = etc.parent / "home/anna"
    assert home.stat().st_mode & 0o7777 == 0o700
    assert (home / ".bashrc").read_text() == "# rc\n"
    assert (home / ".profile").is_symlink()
    before = {path.name: path.read_text() for path in etc.iterdir() if path.is_file()}
    apply(etc, user)
    assert {path.name: path.read_text() for path in etc.iterdir() if path.is_file()} == before


def test_without_a_shadow_file_one_is_made(etc: Path) -> None:
    """As pwconv does; passwords move there."""
    (etc / "shadow").unlink()
    (etc / "gshadow").unlink()
    (etc / "passwd").write_text("root::0:0::/root:/bin/sh\nold:$1$x:1:1::/:/bin/sh\n")
    apply(etc, User(name="root"))
    assert (etc / "passwd").read_text().splitlines()[1] == "old:x:1:1::/:/bin/sh"
    assert (etc / "shadow").read_text() == (
        "root:!:19796:0:99999:7:::\nold:$1$x:19796:0:99999:7:::\n"
    )
    assert (etc / "shadow").stat().st_mode & 0o7777 == 0o600
    assert not (etc / "gshadow").exists()


@pytest.mark.parametrize(
    ("user", "message"),
    [
        (User(name="anna", groups=("video",)), "the group video of user anna does not exist"),
        (User(name="anna", shell="/bin/fish"), "the shell /bin/fish of user anna does not exist"),
        (User(name="anna", shell="/etc"), "the shell /etc of user anna is no program"),
        (User(name="anna", shell="/etc/group"), "the shell /etc/group of user anna is no program"),
        (User(name="anna", uid=99), "uid 99 of user anna is taken"),
        (User(name="nobody", uid=5), "user nobody exists with uid 99, not 5"),
    ],
)
def test_what_does_not_exist_is_told(etc: Path, user: User, message: str) -> None:
    """And nothing is written."""
    before = (etc / "passwd").read_text()
    with pytest.raises(SpecError, match=message):
        apply(etc, user)
    assert (etc / "passwd").read_text() == before


@pytest.mark.parametrize(
    ("file", "line"), [("passwd", "root:x:0"), ("shadow", "root:!"), ("group", "wheel:x"),
                       ("gshadow", "wheel:!")],
)  # fmt: skip
def test_a_malformed_line_of_a_package_is_told(etc: Path, file: str, line: str) -> None:
    """The packages of a repository may bring anything."""
    (etc / file).write_text(f"{line}\n")
    with pytest.raises(PackageError, match=rf"/etc/{file} has \d fields"):
        apply(etc, User(name="root", password="voidlinux", groups=("wheel",)))


def test_only_a_line_feed_ends_a_line(etc: Path) -> None:
    """Nothing that Unicode calls a line end makes one account two."""
    line = "odd:x:98:98:a\u2028b\x0cc\x85d:/:/bin/false"
    with (etc / "passwd").open("a") as file:
        file.write(f"{line}\n")
    apply(etc, User(name="root"))
    assert line in (etc / "passwd").read_text().split("\n")


@pytest.mark.parametrize("name", ["audio", "wheel"])
def test_a_user_with_the_name_of_a_group_is_refused(etc: Path, name: str) -> None:
    """A second group of the name would be made, and nothing of either would be sure."""
    with pytest.raises(SpecError, match="has the name of a group") as caught:
        apply(etc, User(name=name, password="secret"))
    assert caught.value.code == "E-SPEC-NAME-TAKEN"
    assert (etc / "group").read_text().count(f"{name}:") == 1


def test_an_account_of_the_system_gets_no_password(etc: Path) -> None:
    """Its groups can be changed, as its package cannot know them."""
    with pytest.raises(SpecError, match="an account of the system") as caught:
        apply(etc, User(name="nobody", password="secret"))
    assert caught.value.code == "E-SPEC-NAME-TAKEN"
    apply(etc, User(name="nobody", groups=("audio",)))
    assert "audio:x:12:nobody\n" in (etc / "group").read_text()


@pytest.mark.parametrize(
    ("name", "groups", "code"),
    [
        ("anon", ("audio", "wheel"), None),
        ("nobody", (), "NAME-TAKEN"),
        ("root", (), "NAME-TAKEN"),
        ("audio", (), "NAME-TAKEN"),
        ("anon", ("audio", "whel"), "GROUP"),
    ],
)
def test_what_keeps_a_live_user_from_being_made(
    etc: Path, name: str, groups: tuple[str, ...], code: str | None
) -> None:
    """useradd would say so at boot, where nobody reads it; a group would be left out."""
    with Tree(etc.parent) as tree:
        if code is None:
            check_live_account(tree, name, groups)
            return
        with pytest.raises(SpecError) as caught:
            check_live_account(tree, name, groups)
    assert caught.value.code == f"E-SPEC-{code}"
