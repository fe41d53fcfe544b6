"""Scripts in the sandbox: what they write is told, what breaks down in them ends the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.generated_script import install_script
from tests.unit.rootfs.test_steps import ARCH, DATE, conf, package, shell_members
from voidimg.errors import CollectedError, SandboxError, ScriptError
from voidimg.events import Event, Listener, Message, ScriptOutput, event_as_json, ignore
from voidimg.rootfs import steps
from voidimg.rootfs.hooks import run_hooks
from voidimg.rootfs.script_runner import TreeScripts
from voidimg.sandbox import kernel
from voidimg.sandbox.namespace import call
from voidimg.spec.stage_model import Hook
from voidimg.xbps.install.install import VerifiedPackage, remove
from voidimg.xbps.install.scripts import Call, run_script
from voidimg.xbps.repository.local import PackageMember

MIB = 2**20
LARGE = "x=12345678; i=0; while [ $i -lt 17 ]; do x=$x$x; i=$((i+1)); done\n"
"""Makes a variable of 1 MiB with nothing but the shell."""


# --- functions that run inside -----------------------------------------------------------------


def install(root: str, packages: list[VerifiedPackage], listener: Listener = ignore) -> None:
    steps.install_stage(
        Path(root),
        packages,
        arch=ARCH,
        epoch=DATE.epoch,
        scratch=Path(root).with_name("scratch"),
        listener=listener,
    )


def install_and_remove(
    root: str, packages: list[VerifiedPackage], name: str, listener: Listener = ignore
) -> None:
    install(root, packages)
    with TreeScripts(Path(root), ARCH, epoch=DATE.epoch) as scripts:
        remove(Path(root), [name], arch=ARCH, runner=scripts, listener=listener)


def install_without_execution(root: str, packages: list[VerifiedPackage]) -> None:
    Path(root).mkdir()
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOEXEC)
    tree = Path(root, "tree")
    install(str(tree), packages)


def install_and_hook(
    root: str, packages: list[VerifiedPackage], text: str, listener: Listener = ignore
) -> None:
    install(root, packages)
    hooks = [Hook(name="own", script=text)]
    with TreeScripts(Path(root), ARCH, epoch=DATE.epoch) as scripts:
        run_hooks(hooks, scripts, render=str, listener=listener)


def run_for(root: str, packages: list[VerifiedPackage], script: bytes, seconds: float) -> None:
    install(root, packages)
    with TreeScripts(Path(root), ARCH, epoch=DATE.epoch, timeout_seconds=seconds) as scripts:
        run_script(scripts, script, Call("INSTALL", "post", "slow-1_1", False, ARCH))


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "tree")


def talking(directory: Path, text: str) -> list[VerifiedPackage]:
    """A shell, and a package whose script runs `text` when it is configured."""
    script = f'[ "$1" = post ] || exit 0\n{text}'.encode()
    return [
        package(directory, "dash", shell_members()),
        package(directory, "talker", conf("talker"), script),
    ]


def heard_from(root: str, packages: list[VerifiedPackage]) -> list[Event]:
    heard: list[Event] = []
    call(install, root, packages, listener=heard.append)
    return heard


# --- what they show ----------------------------------------------------------------------------


def test_what_a_script_writes_is_an_event(tmp_path: Path, root: str) -> None:
    """Of both its streams, with package, script and action; silence is none."""
    heard = heard_from(root, talking(tmp_path, "echo one; echo two >&2\n"))
    spoken = [event for event in heard if isinstance(event, ScriptOutput)]
    assert spoken == [ScriptOutput("talker-1.0_1", "INSTALL", "post", ("one", "two"))]
    assert event_as_json(spoken[0])["event"] == "ScriptOutput"
    assert not [event for event in heard if isinstance(event, Message)]


def test_pre_scripts_and_removal_speak_too(tmp_path: Path, root: str) -> None:
    """Whichever script it is, and what it was called with."""
    packages = [
        package(tmp_path, "dash", shell_members()),
        package(tmp_path, "both", conf("both"), b'echo "in $1"\n', remove=b'echo "out $1"\n'),
    ]
    heard = heard_from(root, packages)
    call(install_and_remove, f"{root}2", packages, "both", listener=heard.append)
    spoken = [event for event in heard if isinstance(event, ScriptOutput)]
    assert [(event.script, event.action, *event.lines) for event in spoken] == [
        ("INSTALL", "pre", "in pre"),
        ("INSTALL", "post", "in post"),
        ("REMOVE", "pre", "out pre"),
        ("REMOVE", "post", "out post"),
        ("REMOVE", "purge", "out purge"),
    ]


def test_hooks_speak_too(tmp_path: Path, root: str) -> None:
    """The name of the hook stands for the package."""
    heard: list[Event] = []
    packages = talking(tmp_path, "")
    call(install_and_hook, root, packages, "echo here; echo WARNING", listener=heard.append)
    assert ScriptOutput("own", "hook", "", ("here", "WARNING")) in heard
    assert Message("warning", "hook own: WARNING") in heard
    with pytest.raises(ScriptError, match="killed: Killed") as caught:
        call(install_and_hook, f"{root}2", packages, "sh -c 'kill -9 $$' || echo and on")
    assert caught.value.code == "E-SCRIPT-BROKE-DOWN"


def test_a_line_that_says_error_is_a_warning(tmp_path: Path, root: str) -> None:
    """Though the script ended with 0."""
    heard = heard_from(root, talking(tmp_path, "echo fine; echo 'FAILED: no group'\n"))
    warnings = [event.text for event in heard if isinstance(event, Message)]
    assert warnings == ["talker-1.0_1 INSTALL post: FAILED: no group"]


def test_any_bytes_and_any_amount(tmp_path: Path, root: str) -> None:
    """What is no text, control characters, and 100 MB without and with line ends."""
    text = (
        LARGE
        + r"""
printf 'bad \377 \033[2J \302\233\n'
i=0; while [ $i -lt 50 ]; do printf %s "$x"; echo "$x"; i=$((i+1)); done
echo the end
"""
    )
    heard = heard_from(root, talking(tmp_path, text))
    (spoken,) = [event for event in heard if isinstance(event, ScriptOutput)]
    assert spoken.lines[0] == r"bad \xff \x1b[2J \x9b"
    assert spoken.lines[-1] == "the end"
    assert sum(len(line) for line in spoken.lines) < MIB


def test_the_last_lines_are_in_the_error(tmp_path: Path, root: str) -> None:
    """And the output of all that is shown is with it."""
    text = "i=0; while [ $i -lt 9 ]; do i=$((i+1)); echo line $i; done; exit 127\n"
    with pytest.raises(ScriptError) as caught:
        call(install, root, talking(tmp_path, text))
    assert "failed with status 127 (a program in it is not there)" in caught.value.what
    assert caught.value.what.endswith("line 5 / line 6 / line 7 / line 8 / line 9")
    assert caught.value.output.startswith("line 1\nline 2\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 126", "status 126 (a program in it cannot be run)"),
        ("sh -c 'kill -9 $$'; exit $?", "status 137 (signal 9 killed a program in it)"),
        ("kill -TERM $$", "was killed by signal 15"),
    ],
)
def test_how_a_script_ended_is_said(tmp_path: Path, root: str, text: str, said: str) -> None:
    """In the terms of a shell."""
    with pytest.raises(ScriptError) as caught:
        call(install, root, talking(tmp_path, text))
    assert said in caught.value.what


@pytest.mark.parametrize(
    "text",
    [
        "sh -c 'kill -9 $$' || :\n",
        "sh -c 'kill -SEGV $$' || :\n",
        "(ulimit -n 3; true | true) || :\n",
        LARGE + '(ulimit -f 1; trap "" XFSZ; echo "$x" >big) || :\n',
        LARGE + '(ulimit -f 1; echo "$x" >big) || :\n',
        LARGE + "(ulimit -v 20000; i=0; while :; do x=$x$x; done) || :\n",
    ],
    ids=["killed", "crashed", "descriptors", "file size", "file size signal", "memory"],
)
def test_what_breaks_down_in_a_script_ends_the_build(tmp_path: Path, root: str, text: str) -> None:
    """Though the script goes on and ends with 0."""
    with pytest.raises(ScriptError) as caught:
        call(install, root, talking(tmp_path, text + "exit 0\n"))
    assert caught.value.code == "E-SCRIPT-BROKE-DOWN", caught.value.what
    assert caught.value.where == "talker-1.0_1"


def test_a_script_that_does_not_end_is_named(tmp_path: Path, root: str) -> None:
    """With what it wrote until then."""
    script = b"echo begun; while :; do :; done\n"
    with pytest.raises(ScriptError) as caught:
        call(run_for, root, [package(tmp_path, "dash", shell_members())], script, 0.5)
    assert "script of slow-1_1" in caught.value.what
    assert "did not end within 0.5 seconds" in caught.value.what
    assert (caught.value.code, caught.value.output) == ("E-SCRIPT-TIME", "begun")


# --- shells that cannot be run -----------------------------------------------------------------


def test_a_shell_without_a_mode_to_run_it_is_an_error(tmp_path: Path, root: str) -> None:
    """It is no reason to leave scripts out."""
    members = [
        PackageMember(member.path, member.kind, 0o644, content=member.content, target=member.target)
        for member in shell_members()
    ]
    packages = [
        package(tmp_path, "dash", members),
        package(tmp_path, "app", conf("app"), b"exit 0\n"),
    ]
    with pytest.raises(SandboxError, match=r"/bin/\w+ is in the tree but cannot be run") as caught:
        call(install, root, packages)
    assert caught.value.code == "E-SANDBOX-NOT-EXECUTABLE"


def test_a_file_system_without_execution_is_an_error(tmp_path: Path, root: str) -> None:
    """The hint names what it may be."""
    with pytest.raises(SandboxError, match="cannot be run") as caught:
        call(install_without_execution, root, talking(tmp_path, ""))
    assert "noexec" in (caught.value.hint or "")


# --- promises ----------------------------------------------------------------------------------


def promising(directory: Path, trigger: bytes, own: str = "") -> list[VerifiedPackage]:
    """A shell, triggers, and two packages whose generated scripts call them."""
    place = "/usr/libexec/xbps-triggers"
    scripts = {
        name: install_script({"make_dirs": f"/var/{name} 0750 0 0"}, own) for name in ("a", "b")
    }
    return [
        package(directory, "dash", shell_members()),
        package(directory, "xbps-triggers", [
            PackageMember(f"{place}/mkdirs", mode=0o754, content=trigger),
        ]),
        *(package(directory, name, conf(name), script) for name, script in scripts.items()),
    ]  # fmt: skip


def test_promises_that_were_not_kept_are_told_at_once(tmp_path: Path, root: str) -> None:
    """A trigger that fails ends the script with 0; each package is named, with its last lines."""
    trigger = b"echo mkdirs cannot; exit 1\n"
    with pytest.raises(CollectedError) as caught:
        call(install, root, promising(tmp_path, trigger, "echo never\n"))
    errors = [error for error in caught.value.errors if isinstance(error, ScriptError)]
    assert [(error.code, error.where) for error in errors] == [
        ("E-SCRIPT-PROMISE", "a-1.0_1"),
        ("E-SCRIPT-PROMISE", "b-1.0_1"),
    ]
    assert "/var/a with mode 0750 of 0:0 (make_dirs) is not there: nothing is there" in str(
        errors[0]
    )
    assert errors[0].output == "mkdirs cannot"


def test_a_trigger_that_is_not_there_is_told(tmp_path: Path, root: str) -> None:
    """As a warning when the package is configured; before anything is unpacked none can be."""
    heard: list[Event] = []
    script = install_script({"kernel_hooks_version": "1_1"})
    packages = [package(tmp_path, "dash", shell_members()), package(tmp_path, "a", [], script)]
    call(install, root, packages, listener=heard.append)
    warnings = [event.text for event in heard if isinstance(event, Message)]
    (warning,) = warnings
    assert warning.startswith("a-1.0_1 INSTALL post: ")
    assert "xbps-triggers/kernel-hooks: not found" in warning


def test_promises_that_only_a_shell_can_read_are_told(tmp_path: Path, root: str) -> None:
    """A warning, and no error: nothing is known of them."""
    heard: list[Event] = []
    script = install_script({"make_dirs": "/var/$PKGNAME 0755 0 0"})
    packages = [*promising(tmp_path, b"exit 0\n")[:2], package(tmp_path, "c", [], script)]
    call(install, root, packages, listener=heard.append)
    warnings = [event.text for event in heard if isinstance(event, Message)]
    assert warnings == [
        "c-1.0_1: what it promises in make_dirs cannot be checked: only a shell can read it"
    ]
