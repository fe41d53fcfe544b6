"""The frame of the command: every verb explains itself, every error is words and a status."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

import voidimg as public_face
from tests.command import voidimg
from voidimg import errors
from voidimg.cli.main import VERBS, cli, entry_point
from voidimg.cli.render import listener_for, show_error
from voidimg.errors import CollectedError, SpecError, VoidimgError, exit_status_of
from voidimg.events import Message, Progress, StepFinished, StepStarted


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each verb ends well and shows how the verb is typed, one example a line."""
    with pytest.raises(SystemExit) as ended:
        entry_point([verb, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "Examples:\n" in text
    assert f"\n    voidimg {verb}" in text
    assert "\\b" not in text


def test_the_list_of_verbs_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """`voidimg --help` names every verb with its line."""
    with pytest.raises(SystemExit):
        entry_point(["--help"])
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in VERBS)


def test_a_mistyped_verb_or_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, with what was meant."""
    for words, meant in (
        (["biuld", "rpi-aarch64"], "No such verb 'biuld'. Did you mean 'build'?"),
        (["build", "--artefact", "image", "rpi-aarch64"], "'--artifact'"),
    ):
        with pytest.raises(SystemExit) as ended:
            entry_point(words)
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "No such" in said
        assert meant in said


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["build", "rpi-aarch64", "--out", "x"], "voidimg --out ... build ..."),
        (["show", "rpi-aarch64", "-q"], "voidimg -q ... show ..."),
        (["repo", "index", "x", "--jobs", "2"], "voidimg --jobs ... repo index ..."),
    ],
)
def test_a_global_option_behind_the_verb(
    words: list[str], place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said where it belongs."""
    with pytest.raises(SystemExit) as ended:
        entry_point(words)
    assert ended.value.code == 2
    assert f"{words[-2] if words[-1] in '2x' else words[-1]} goes before the verb: {place}" in (
        capsys.readouterr().err
    )


def test_an_error_is_words_with_code_hint_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    """Where, what, code and hint on stderr; nothing on stdout; no traceback."""
    with pytest.raises(SystemExit) as ended:
        entry_point(["build", "rpi-aarch64", "--date", "20240231"])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("voidimg: --date: '20240231' is not a date of an image set")
    assert "[E-USAGE-DATE]\n    hint: give it as YYYYMMDD" in said.err
    assert "Traceback" not in said.err


def test_a_real_process_ends_with_the_status(tmp_path: Path) -> None:
    """The same through an interpreter of its own, as a shell sees it."""
    ended = voidimg("--cache", tmp_path, "build", "rpi-arch64")
    assert ended.returncode == 3
    assert ended.stdout == ""
    assert "did you mean 'rpi-aarch64'?" in ended.stderr


def test_several_errors_have_the_status_of_the_first() -> None:
    """A group is shown whole and counts as its first."""
    first = SpecError("one", code="A", where="x.toml:1:1")
    group = CollectedError("two problems", [first, VoidimgError("two", code="B")])
    assert exit_status_of(group) == 3
    assert str(group) == "x.toml:1:1: one\ntwo"


def test_errors_survive_the_way_out_of_the_namespace() -> None:
    """Pickled and back, an error says the same."""
    error = SpecError("what", code="CODE", where="where", hint="hint")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.as_json()) == (SpecError, str(error), error.as_json())


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a package calls itself cannot move the cursor or rename the window."""
    show_error(VoidimgError("evil\x1b]0;title\x07 \x9bname", code="X", hint="a\rb"))
    said = capsys.readouterr().err
    assert said == "voidimg: evil\\x1b]0;title\\x07 \\x9bname [E-X]\n    hint: a\\x0db\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--completion` prints the script that the shell sources."""
    with pytest.raises(SystemExit) as ended:
        entry_point(["--completion", shell])
    assert ended.value.code == 0
    assert "_VOIDIMG_COMPLETE" in capsys.readouterr().out


def test_events_are_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each event is one object with its name; plain lines go to stderr."""
    with (tmp_path / "events").open("w") as stream:
        listener = listener_for(verbose=0, quiet=False, events=stream)
        listener(StepStarted("fetch"))
        listener(Progress("fetch", 1, 2, "bytes"))
        listener(Message("debug", "unseen"))
        listener(Message("warning", "seen"))
        listener(StepFinished("fetch", 1.25))
    lines = (tmp_path / "events").read_text().splitlines()
    names = [json.loads(line)["event"] for line in lines]
    assert names == ["StepStarted", "Progress", "Message", "Message", "StepFinished"]
    assert capsys.readouterr().err == "fetch ...\nwarning: seen\nfetch: 1.2 s\n"


def test_a_place_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What names its object already has no prefix that does so again; a longer path does."""
    show_error(VoidimgError("cannot read a/b.img: no", code="X", where="a/b.img"))
    show_error(VoidimgError("b.img is empty", code="X", where="a/b.img"))
    show_error(VoidimgError("cannot read a/b.img/c: no", code="X", where="a/b.img"))
    show_error(VoidimgError("nothing here.", code="X", where="."))
    assert capsys.readouterr().err.splitlines() == [
        "voidimg: cannot read a/b.img: no [E-X]",
        "voidimg: a/b.img: b.img is empty [E-X]",
        "voidimg: a/b.img: cannot read a/b.img/c: no [E-X]",
        "voidimg: .: nothing here. [E-X]",
    ]


def test_every_class_of_failure_can_be_caught() -> None:
    """Docstrings name the classes that are raised: a tool catches them from the public face."""
    families = {
        name
        for name, made in vars(errors).items()
        if isinstance(made, type) and issubclass(made, VoidimgError)
    }
    assert families <= set(public_face.__all__)


def test_the_public_face_loads_every_name() -> None:
    """Each name of `__all__` is there, and no other is."""
    assert all(getattr(public_face, name) is not None for name in public_face.__all__)
    assert dir(public_face) == sorted(public_face.__all__)
    with pytest.raises(AttributeError):
        public_face.nothing_of_that_name  # type: ignore[attr-defined]  # noqa: B018


def test_the_group_is_called_voidimg() -> None:
    """The command offers exactly the verbs of its table."""
    assert sorted(cli.list_commands(None)) == sorted(VERBS)  # type: ignore[arg-type]
