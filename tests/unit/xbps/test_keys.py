"""Keys and signatures agree with those recorded from the real tools, and with openssl."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path

import pytest

from voidimg.errors import StoreError, VerifyError
from voidimg.run import run
from voidimg.xbps import plist
from voidimg.xbps.keys import PrivateKey, PublicKey, create_repository_key

VECTORS = Path(__file__).parents[2] / "vectors/xbps"
KEYS = VECTORS / "keys"
BADSIG = VECTORS / "repos/badsig"
MAIN = "c3:86:44:75:83:6f:a5:02:61:3d:2a:a8:f6:57:97:05"
SECOND = "2d:45:fc:53:ad:53:26:96:ca:05:c3:8c:24:39:a0:5d"


def key_of(name: str) -> PublicKey:
    return PublicKey.from_pem((KEYS / f"{name}.public.pem").read_bytes())


@pytest.mark.parametrize(("name", "fingerprint"), [("main", MAIN), ("second", SECOND)])
def test_fingerprint_is_that_of_the_real_tool(name: str, fingerprint: str) -> None:
    """The name of the recorded key file is the fingerprint."""
    assert key_of(name).fingerprint == fingerprint


@pytest.mark.parametrize("fingerprint", [MAIN, SECOND])
def test_key_file_is_that_of_the_real_tool(fingerprint: str) -> None:
    """A key file read and written again has the same bytes."""
    data = (KEYS / f"{fingerprint}.plist").read_bytes()
    key = PublicKey.from_plist(data, where="keys")
    assert (key.fingerprint, key.plist()) == (fingerprint, data)


def test_a_compressed_key_file_is_read() -> None:
    """XBPS takes key files through gzip, so do we."""
    data = (KEYS / f"{MAIN}.plist").read_bytes()
    assert PublicKey.from_plist(gzip.compress(data), where="keys").fingerprint == MAIN


@pytest.mark.parametrize("name", ["good", "pysig", "badindexsha"])
def test_good_signatures_are_accepted(name: str) -> None:
    """A signature by xbps-rindex, one by another library, one with only a wrong index."""
    path = BADSIG / f"{name}-1.0_1.x86_64.xbps"
    key_of("main").verify(path, Path(f"{path}.sig2").read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        "emptysig",
        "legacysig",
        "longsig",
        "psssig",
        "sha512sig",
        "swappedsig",
        "tampered",
        "tampered-tail",
        "truncsig",
        "wrongkey",
    ],
)
def test_bad_signatures_are_refused(name: str) -> None:
    """Each recorded defect is noticed and names the file."""
    path = BADSIG / f"{name}-1.0_1.x86_64.xbps"
    with pytest.raises(VerifyError) as caught:
        key_of("main").verify(path, Path(f"{path}.sig2").read_bytes())
    assert (caught.value.code, caught.value.where) == ("E-VERIFY-SIGNATURE", str(path))


def test_every_package_of_the_main_repository_is_signed() -> None:
    """All recorded signatures verify."""
    packages = sorted((VECTORS / "repos/main").glob("*.xbps"))
    key = key_of("main")
    for path in packages:
        key.verify(path, Path(f"{path}.sig2").read_bytes())
    assert len(packages) > 70


def test_our_signature_is_that_of_the_real_tool() -> None:
    """PKCS#1 v1.5 has no randomness: same key, same file, same bytes."""
    path = BADSIG / "good-1.0_1.x86_64.xbps"
    key = PrivateKey.read(KEYS / "main.private.pem")
    assert key.sign_file(path) == Path(f"{path}.sig2").read_bytes()


def test_openssl_accepts_our_signature(tmp_path: Path) -> None:
    """A key and a signature made here verify with `openssl dgst`."""
    file, signature, public = tmp_path / "p.xbps", tmp_path / "p.sig2", tmp_path / "k.pem"
    file.write_bytes(b"package")
    key = create_repository_key(tmp_path / "key.pem", 2048)
    signature.write_bytes(key.sign_file(file))
    public.write_bytes(key.public("Me").pem)
    argv: list[str | Path] = [
        "openssl",
        "dgst",
        "-sha256",
        "-verify",
        public,
        "-signature",
        signature,
        file,
    ]
    assert run(argv).stdout == b"Verified OK\n"


def test_openssl_s_keys_are_read(tmp_path: Path) -> None:
    """PKCS#1 with a passphrase, as the handbook of XBPS tells people to make."""
    path = tmp_path / "key.pem"
    run(
        ["openssl", "genrsa", "-traditional", "-aes128", "-passout", "pass:x", "-out", path, "2048"]
    )
    assert PrivateKey.read(path, "x").public("Me").bits == 2048
    for passphrase, code in ((None, "E-VERIFY-KEY-PASSPHRASE"), ("y", "E-VERIFY-KEY")):
        with pytest.raises(VerifyError) as caught:
            PrivateKey.read(path, passphrase)
        assert caught.value.code == code


def test_a_new_key_is_private_and_never_overwrites(tmp_path: Path) -> None:
    """Mode 0600 from the first byte; an existing file is left alone."""
    path = tmp_path / "key.pem"
    made = create_repository_key(path, 2048, "secret")
    assert path.stat().st_mode & 0o7777 == 0o600
    assert PrivateKey.read(path, "secret").public() == made.public()
    before = path.read_bytes()
    with pytest.raises(StoreError):
        create_repository_key(path, 2048)
    assert path.read_bytes() == before


def test_weak_and_foreign_keys_are_refused(tmp_path: Path) -> None:
    """1024-bit RSA and elliptic curves are named as such."""
    weak, curve = tmp_path / "weak.pem", tmp_path / "curve.pem"
    run(["openssl", "genrsa", "-out", weak, "1024"])
    run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", curve])
    with pytest.raises(VerifyError, match="1024 bits"):
        PrivateKey.read(weak)
    with pytest.raises(VerifyError, match="RSA only"):
        PrivateKey.read(curve)
    public = run(["openssl", "pkey", "-in", curve, "-pubout"]).stdout
    with pytest.raises(VerifyError, match="RSA only"):
        PublicKey.from_pem(public)


@pytest.mark.parametrize("missing", ["public-key", "public-key-size", "signature-by"])
def test_an_incomplete_key_file_is_refused(missing: str) -> None:
    """All three values are needed."""
    values = key_of("main").values()
    del values[missing]
    with pytest.raises(VerifyError, match="incomplete"):
        PublicKey.from_plist(plist.encode(values), where="keys")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b\x08",
        gzip.compress(b"\0" * 10**6, mtime=0),
        b"<plist><dict/></plist>",
        b"\xff" * 99,
    ],
)
def test_damaged_key_files_are_refused(data: bytes) -> None:
    """Nothing but a VerifyError, whatever the bytes, and no bomb is inflated."""
    with pytest.raises(VerifyError):
        PublicKey.from_plist(data, where="keys")


def test_a_wrong_size_of_the_key_is_refused() -> None:
    """public-key-size must be the size of the key."""
    values = key_of("main").values() | {"public-key-size": 2048}
    with pytest.raises(VerifyError, match="4096 bits"):
        PublicKey.from_values(values, where="keys")


def test_a_file_that_was_hashed_already_is_verified() -> None:
    """The digest alone suffices; a missing file is an error of its own."""
    path = BADSIG / "good-1.0_1.x86_64.xbps"
    key = key_of("main")
    digest = hashlib.sha256(path.read_bytes()).digest()
    key.verify_digest(digest, Path(f"{path}.sig2").read_bytes(), where="good")
    with pytest.raises(VerifyError) as caught:
        key.verify(path.with_name("none"), b"")
    assert caught.value.code == "E-VERIFY-UNREADABLE"


def test_a_public_key_crosses_to_another_process() -> None:
    """The worker in the namespace is given keys through a pipe."""
    key = key_of("main")
    assert pickle.loads(pickle.dumps(key)) == key
