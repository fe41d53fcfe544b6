"""The manual page: all that there is to type is in it, and roff reads it as text."""

from __future__ import annotations

import re

import click
import pytest

from voidimg.cli.main import VERBS, cli, entry_point


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str]) -> str:
    """What `voidimg --man` prints."""
    with pytest.raises(SystemExit) as ended:
        entry_point(["--man"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def options_of(command: click.Command) -> set[str]:
    """The names of the options of `command`."""
    return {name for one in command.params if isinstance(one, click.Option) for name in one.opts}


def test_every_verb_and_option_is_there(page: str) -> None:
    """Also those of the verbs within `repo` and `cache`."""
    context = click.Context(cli, info_name="voidimg")
    found = dict(re.findall(r"^\.SS (.+)\n((?:(?!\.S[SH] ).*\n)*)", page, re.MULTILINE))
    sections = {name.replace("\\-", "-"): text for name, text in found.items()}
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        commands = {verb: command}
        if isinstance(command, click.Group):
            commands |= {f"{verb} {name}": inner for name, inner in command.commands.items()}
        for name, one in commands.items():
            section = sections[f"voidimg {name}"].replace("\\-", "-")
            assert {option for option in options_of(one) if option not in section} == set()


def test_examples_keep_their_lines(page: str) -> None:
    """They are not filled into a paragraph."""
    examples = ".nf\nExamples:\n  voidimg list\n  voidimg list \\-\\-json\n"
    assert examples in page


def test_exit_statuses_are_those_of_the_errors(page: str) -> None:
    """Every class of failure, and what signals make."""
    part = page.partition(".SH EXIT STATUS\n")[2].partition(".SH ")[0]
    assert re.findall(r"^\.B (\d+)$", part, re.MULTILINE) == [
        *map(str, range(18)), "130", "141",
    ]  # fmt: skip


def test_text_is_never_a_request(page: str) -> None:
    """Lines begin with known requests only, and a backslash only where it is meant."""
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".nf", ".fi"}
    assert set(re.findall(r"\\(.)", page)) <= {"-", "e", "&"}
    assert "\b" not in page
