"""Generated INSTALL scripts are read without being run; what is not generated promises nothing."""

from __future__ import annotations

import pytest

from tests.generated_script import install_script
from voidimg.xbps.script_exports import parse_generated

ACCOUNT = {
    "system_accounts": "_one two:22",
    "_one_homedir": "/var/lib/one",
    "_one_descr": "One & only; it's $ free",
    "make_dirs": "/var/lib/one 0750 _one _one\n\t/var/log/one\t0755 root root ",
}


def test_variables_triggers_and_own_text() -> None:
    """Values of several lines, and those that only a shell can read."""
    says = parse_generated(install_script(ACCOUNT, "chown two etc/two\n"))
    assert says is not None
    assert says.triggers == {"system-accounts", "mkdirs"}
    assert says.words("system_accounts", "system-accounts") == ("_one", "two:22")
    assert says.words("make_dirs", "mkdirs")[4:] == ("/var/log/one", "0755", "root", "root")
    assert says.value("_one_homedir") == "/var/lib/one"
    assert says.unread == {"_one_descr"}
    assert says.value("_one_descr") is None
    assert says.own.strip() == "chown two etc/two\n\nexit 0"


def test_what_no_trigger_is_called_for_is_no_promise() -> None:
    """As in scripts whose variables outlived their trigger."""
    says = parse_generated(install_script({"make_dirs": "/a 0755 root root"}))
    assert says is not None
    assert says.words("make_dirs", "system-accounts") == ()


@pytest.mark.parametrize(
    "value", ["/a$b", "/a`b`", "/a\\b", "/a*", "/a?", "/a[b]"], ids=lambda value: value[2]
)
def test_words_that_a_shell_would_change_are_not_read(value: str) -> None:
    """Nothing is said of what is not known."""
    says = parse_generated(install_script({"make_dirs": f"{value} 0755 root root"}))
    assert says is not None
    assert says.words("make_dirs", "mkdirs") == ()
    assert says.unread == {"make_dirs"}


def test_old_packages_call_triggers_by_the_link() -> None:
    """Which is all that it is there for."""
    script = install_script(ACCOUNT)
    old = script.replace(b"./usr/libexec/xbps-triggers", b"./var/db/xbps/triggers")
    assert old != script
    assert parse_generated(old) == parse_generated(script)


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"#!/bin/sh\nexit 0\n",
        b'#!/bin/sh\nexport system_accounts="x"\n',
        b'export make_dirs="/a 0755 root root"\ncase "${ACTION}" in\npost)\n\t;;\nesac\n',
    ],
)
def test_other_scripts_are_not_read(script: bytes) -> None:
    """They promise nothing that could be known."""
    assert parse_generated(script) is None


@pytest.mark.parametrize(
    "own",
    [
        'case "${ACTION}" in\npost)\n\texport make_dirs="/a 0755 root root"\n\t;;\nesac\n',
        'export make_dirs="/a 0755 root root"\ncase "${ACTION}" in\npost)\n\tmkdir a\n\t;;\nesac\n',
        "# ${TRIGGERSDIR}/mkdirs run post-install\n",
    ],
)
def test_own_text_that_looks_like_a_promise_is_none(own: str) -> None:
    """Only the generator's own lines in its own place count."""
    says = parse_generated(install_script({}, own))
    assert says is not None
    assert (dict(says.exports), says.triggers) == ({}, frozenset())


def test_a_value_hides_no_export() -> None:
    """What looks like a line of its own inside a value is a part of it."""
    says = parse_generated(
        install_script({"_x_descr": "\nexport make_dirs=/x\n", "system_accounts": "_x"})
    )
    assert says is not None
    assert set(says.exports) == {"_x_descr", "system_accounts"}


def test_long_and_strange_scripts_are_read_in_time() -> None:
    """Bytes that are not UTF-8, quotes that never end, a million lines."""
    odd = install_script({"make_dirs": "/a\udcff 0755 root root"}, 'export x="' * 200_000)
    says = parse_generated(odd)
    assert says is not None
    assert says.words("make_dirs", "mkdirs")[0] == "/a\udcff"
    for count, read in ((1000, 4000), (500_000, 0)):
        many = parse_generated(install_script({"make_dirs": "/a 0755 root root " * count}))
        assert many is not None
        assert len(many.words("make_dirs", "mkdirs")) == read
