"""Package directories are read strictly, and `voidimg repo` makes repositories of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.pipeline.shop import KEYS, Shop
from voidimg.cli.main import cli
from voidimg.errors import PackageError, StoreError, VoidimgError
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.package.directory import read_package_directory
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.repository.local import read_repodata, write_package

MINIMAL = """
pkgname = "hello"
version = "1.0_1"
architecture = "noarch"
short_desc = "Greets"
"""
FULL = (
    MINIMAL
    + """
homepage = "https://example.invalid"
run_depends = ["bash>=0"]
conf_files = ["/etc/hello.conf"]
preserve = true
install_msg = "welcome"
mtime = 1600000000
mutable = ["/usr/bin/hello"]
[alternatives]
greeter = ["/usr/bin/greet:/usr/bin/hello"]
[modes]
"/usr/bin/hello" = "04755"
[owners]
"/etc/hello.conf" = "0:4"
"""
)


def directory(tmp_path: Path, toml: str = MINIMAL) -> Path:
    made = tmp_path / "hello"
    (made / "files/usr/bin").mkdir(parents=True)
    (made / "files/etc").mkdir()
    (made / "files/var/empty").mkdir(parents=True)
    (made / "files/usr/bin/hello").write_text("#!/bin/sh\necho hello\n")
    (made / "files/usr/bin/hello").chmod(0o700)
    (made / "files/etc/hello.conf").write_text("greeting=hello\n")
    (made / "files/etc/hello.conf").chmod(0o666)
    (made / "files/usr/bin/hi").symlink_to("hello")
    os.link(made / "files/usr/bin/hello", made / "files/usr/bin/zhello")
    (made / "INSTALL").write_text("exit 0\n")
    (made / "package.toml").write_text(toml)
    return made


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    """Keys, modes, owners, scripts, links: each arrives."""
    meta, members = read_package_directory(directory(tmp_path, FULL))
    assert meta.run_depends == ["bash>=0"]
    assert (meta.install_msg, meta.install_script) == (b"welcome", b"exit 0\n")
    assert meta.preserve is True
    assert meta.alternatives == {"greeter": ["/usr/bin/greet:/usr/bin/hello"]}
    found = {member.path: member for member in members}
    assert (found["/usr/bin/hello"].mode, found["/usr/bin/hello"].mutable) == (0o4755, True)
    assert found["/etc/hello.conf"].mode == 0o644
    assert (found["/etc/hello.conf"].uid, found["/etc/hello.conf"].gid) == (0, 4)
    assert found["/usr/bin/hi"].target == "hello"
    assert (found["/usr/bin/zhello"].kind, found["/usr/bin/zhello"].target) == (
        "hardlink",
        "/usr/bin/hello",
    )
    assert found["/var/empty"].kind == "directory"
    assert {member.mtime for member in members} == {1600000000}


def test_the_modes_of_the_checkout_leave_no_trace(tmp_path: Path) -> None:
    """0700 and 0666 become 0755 and 0644, so a umask does not change the package."""
    made = directory(tmp_path)
    first = write_package(tmp_path / "one", *read_package_directory(made)).read_bytes()
    (made / "files/usr/bin/hello").chmod(0o777)
    (made / "files/etc/hello.conf").chmod(0o600)
    assert write_package(tmp_path / "two", *read_package_directory(made)).read_bytes() == first


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("pkgname = ", "not TOML"),
        ('pkgname = "x"', "version is missing"),
        (MINIMAL + 'depends = ["x>=0"]', "there is no key 'depends'"),
        (MINIMAL + 'install_script = "x"', "there is no key 'install_script'"),
        (MINIMAL + 'run_depends = "x>=0"', "list of strings"),
        (MINIMAL + "run_depends = [1]", "list of strings"),
        (MINIMAL + 'preserve = "yes"', "true or false"),
        (MINIMAL + "homepage = 1", "homepage must be a string"),
        (MINIMAL + 'mtime = "now"', "mtime must be of type int"),
        (MINIMAL + "mtime = true", "mtime must be of type int"),
        (MINIMAL + 'alternatives = ["x"]', "alternatives must be a table"),
        (MINIMAL + 'mutable = ["/none"]', "/none is named"),
        (MINIMAL + '[modes]\n"/none" = "0644"', "/none is named"),
        (MINIMAL + '[modes]\n"/usr/bin/hello" = "rwx"', "mode"),
        (MINIMAL + '[modes]\n"/usr/bin/hello" = 420', "mode"),
        (MINIMAL + '[owners]\n"/usr/bin/hello" = "root:root"', "in numbers"),
    ],
)
def test_mistakes_are_named(toml: str, words: str, tmp_path: Path) -> None:
    """Each mistake has a sentence and the file it is in."""
    with pytest.raises(PackageError, match=words) as caught:
        read_package_directory(directory(tmp_path, toml))
    assert caught.value.code == "E-PACKAGE-DESCRIPTION"
    assert str(caught.value.where).endswith("hello/package.toml")


@pytest.mark.parametrize("name", ["hello", "zhello"])
def test_the_mode_of_a_hard_link_is_that_of_the_file(tmp_path: Path, name: str) -> None:
    """Whichever of its names the description gives, the package has the mode and owner."""
    text = MINIMAL + f'[modes]\n"/usr/bin/{name}" = "04755"\n[owners]\n"/usr/bin/{name}" = "0:5"'
    made = write_package(tmp_path / "out", *read_package_directory(directory(tmp_path, text)))
    with BinaryPackage.open(made) as package:
        found = {one.name: (one.mode, one.gid) for one in package.members()}
    assert found["./usr/bin/hello"] == found["./usr/bin/zhello"] == (0o4755, 5)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[modes]\n"/usr/bin/hello" = "0755"\n"/usr/bin/zhello" = "0700"', "modes differ"),
        ('[owners]\n"/usr/bin/hello" = "0:0"\n"/usr/bin/zhello" = "0:4"', "owners differ"),
        ('[modes]\n"/usr/bin/hi" = "0755"', "is a symlink, of which a package keeps no mode"),
        ('[modes]\n"/var/empty" = "0700"', "is a directory.*no mode; let INSTALL set it"),
        ('[owners]\n"/var/empty" = "0:4"', "is a directory.*no owner; let INSTALL set it"),
        ('mutable = ["/var/empty"]', "is a directory.*no mutable mark"),
        ('mutable = ["/usr/bin/hi"]', "is a symlink.*no mutable mark"),
    ],
)
def test_what_no_package_can_say_is_refused(toml: str, words: str, tmp_path: Path) -> None:
    """Two modes of one file, and modes of what has none in an archive, are not dropped."""
    with pytest.raises(PackageError, match=words) as caught:
        read_package_directory(directory(tmp_path, MINIMAL + toml))
    assert caught.value.code == "E-PACKAGE-DESCRIPTION"


def test_the_same_mode_twice_and_the_owner_of_a_link(tmp_path: Path) -> None:
    """The neighbours of what is refused."""
    text = (
        MINIMAL
        + '[modes]\n"/usr/bin/hello" = "0700"\n"/usr/bin/zhello" = "0700"\n'
        + '[owners]\n"/usr/bin/hi" = "0:4"'
    )
    _, members = read_package_directory(directory(tmp_path, text))
    found = {one.path: one for one in members}
    assert (found["/usr/bin/hello"].mode, found["/usr/bin/hi"].gid) == (0o700, 4)


def put_link(made: Path, path: str, target: str) -> None:
    (made / f"files{path}").parent.mkdir(parents=True, exist_ok=True)
    (made / f"files{path}").symlink_to(target)


def test_what_no_tree_would_take_is_not_packed(tmp_path: Path) -> None:
    """`repo create` refuses at once what every installation would; xbps-triggers has its link."""
    path, text = "/var/db/xbps/triggers", "../../../usr/libexec/xbps-triggers"
    made = directory(tmp_path)
    put_link(made, path, text)
    refused = voidimg("create", made, "-o", tmp_path / "repo")
    assert refused.exit_code != 0
    assert isinstance(refused.exception, PackageError)
    assert refused.exception.code == "E-PACKAGE-DATABASE"
    (made / "package.toml").write_text(MINIMAL.replace("hello", "xbps-triggers"))
    good("create", made, "-o", tmp_path / "repo")
    (made / f"files{path}").unlink()
    put_link(made, path, "/usr/libexec/xbps-triggers")
    assert voidimg("create", made, "-o", tmp_path / "repo").exit_code != 0


def test_a_fifo_is_refused_unread(tmp_path: Path) -> None:
    """Opening it would wait for ever."""
    made = directory(tmp_path)
    os.mkfifo(made / "files/pipe")
    with pytest.raises(PackageError, match="files, links and directories only"):
        read_package_directory(made)


def test_a_directory_without_description_is_no_package(tmp_path: Path) -> None:
    """The hint says what belongs there."""
    with pytest.raises(StoreError) as caught:
        read_package_directory(tmp_path)
    assert "package.toml" in str(caught.value.hint)


def voidimg(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["repo", *map(str, arguments)], env=env)


def good(*arguments: object, env: dict[str, str] | None = None) -> str:
    result = voidimg(*arguments, env=env)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_from_directory_to_signed_repository(tmp_path: Path) -> None:
    """create, keygen, index, sign, list: the whole way, with an encrypted key."""
    repo, key, env = tmp_path / "repo", tmp_path / "key.pem", {"XBPS_PASSPHRASE": "secret"}
    package = repo / "hello-1.0_1.noarch.xbps"
    assert good("create", directory(tmp_path, FULL), "-o", repo) == f"{package}\n"
    fingerprint = good("keygen", key, "--bits", 2048, env=env).split()[-1]
    assert "aarch64-repodata: 1 package" in good("index", repo, "--arch", "aarch64")
    assert fingerprint in good("sign", repo, "--key", key, "--signed-by", "Me", env=env)
    listed = json.loads(good("list", repo, "--json"))["aarch64"]
    assert (listed["fingerprint"], listed["signed_by"]) == (fingerprint, "Me")
    assert [entry["pkgver"] for entry in listed["packages"]] == ["hello-1.0_1"]
    assert "aarch64: 1 package, signed by Me" in good("list", repo)
    assert json.loads(good("index", repo, "--json")) == {"aarch64": 1}
    trusted = PublicKey.from_plist((repo / f"{fingerprint}.plist").read_bytes(), where="key")
    trusted.verify(package, package.with_name(f"{package.name}.sig2").read_bytes())
    meta = read_repodata(repo, "aarch64").meta
    assert meta is not None
    assert meta.key == trusted


def test_wrong_use_and_failures_have_their_status(tmp_path: Path) -> None:
    """A repository without architecture, an unencrypted key with a passphrase option, no index."""
    repo, key = tmp_path / "repo", tmp_path / "key.pem"
    good("create", directory(tmp_path), "-o", repo)
    good("keygen", key, "--bits", 2048, "--no-passphrase")
    assert voidimg("index", repo).exit_code == 2
    assert voidimg("keygen", key, "--no-passphrase", "--passphrase-fd", 0).exit_code == 2
    assert voidimg("keygen", tmp_path / "new.pem").exit_code == 2
    for arguments in (
        ("keygen", key, "--no-passphrase"),
        ("sign", repo, "--key", key, "--signed-by", "Me", "--arch", "aarch64"),
        ("create", repo, "-o", repo),
    ):
        assert isinstance(voidimg(*arguments).exception, VoidimgError)


@pytest.mark.parametrize("verb", ["create", "index", "sign", "list", "keygen"])
def test_every_verb_has_examples(verb: str) -> None:
    """--help shows how it is used, one example a line."""
    assert f"\n    voidimg repo {verb} " in good(verb, "--help").partition("Examples:")[2]


def _hello(root: Path) -> Path:
    made = root / "hello"
    (made / "files").mkdir(parents=True)
    (made / "package.toml").write_text(MINIMAL)
    return made


SECRET = "the secret of somebody"


@pytest.mark.parametrize("place", ["files", "INSTALL", "REMOVE", "package.toml"])
def test_nothing_is_packed_through_a_link(place: str, tmp_path: Path) -> None:
    """A checkout of a stranger would bring files of the host into a package."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "id_rsa").write_text(SECRET)
    (outside / "package.toml").write_text(MINIMAL)
    made = _hello(tmp_path)
    path = made / place
    if place == "files":
        path.rmdir()
        path.symlink_to(outside)
    else:
        path.unlink(missing_ok=True)
        path.symlink_to(outside / ("package.toml" if place == "package.toml" else "id_rsa"))
    ended = CliRunner().invoke(cli, ["repo", "create", str(made), "-o", str(tmp_path / "repo")])
    assert isinstance(ended.exception, PackageError | StoreError)
    assert "symbolic link" in str(ended.exception)
    assert not (tmp_path / "repo").exists()


def test_a_file_that_becomes_a_link_is_not_packed(tmp_path: Path) -> None:
    """Between the look at the directory and the packing."""
    made = _hello(tmp_path)
    (made / "files" / "x").write_text("mine")
    meta, members = read_package_directory(made)
    (tmp_path / "id_rsa").write_text(SECRET)
    (made / "files" / "x").unlink()
    (made / "files" / "x").symlink_to(tmp_path / "id_rsa")
    with pytest.raises(StoreError, match="symbolic link"):
        write_package(tmp_path / "repo", meta, members)


@pytest.mark.parametrize("content", [b"my thesis", b""])
def test_only_the_same_package_is_replaced(content: bytes, tmp_path: Path) -> None:
    """A file that only has its name stays."""
    meta, members = read_package_directory(_hello(tmp_path))
    repo = tmp_path / "repo"
    first = write_package(repo, meta, members)
    assert write_package(repo, meta, members) == first
    first.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        write_package(repo, meta, members)
    assert caught.value.code == "E-STORE-NOT-OURS"
    assert first.read_bytes() == content


@pytest.mark.parametrize("name", ["lib-1.0_1.noarch.xbps.sig2", "KEY"])
def test_signing_replaces_signatures_and_keys_alone(name: str, tmp_path: Path) -> None:
    """What only has such a name stays; signing twice is fine."""
    shop = Shop(tmp_path)
    shop.put("lib")
    key = tmp_path / "key.pem"
    key.write_bytes((KEYS / "second.private.pem").read_bytes())
    key.chmod(0o600)
    words = ["repo", "sign", str(shop.path), "--key", str(key), "--signed-by", "me"]
    for _ in range(2):
        ended = CliRunner().invoke(cli, words)
        assert ended.exception is None
    place = shop.path / name
    if name == "KEY":
        place = next(path for path in shop.path.iterdir() if path.suffix == ".plist")
    place.write_bytes(b"mine" * 1000)
    ended = CliRunner().invoke(cli, words)
    assert isinstance(ended.exception, StoreError)
    assert place.read_bytes() == b"mine" * 1000
    key.chmod(0o644)
    ended = CliRunner().invoke(cli, words)
    assert isinstance(ended.exception, VoidimgError)
    assert ended.exception.code == "E-VERIFY-KEY-MODE"
