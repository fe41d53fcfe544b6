"""The template of a stranger reads what it is given, calls nothing and fills no memory."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError
from voidimg.spec.deadline import OutOfTime, deadline
from voidimg.spec.templates import Templates

REACHING = (
    "{{ recipe.__class__ }}", "{{ recipe.__init__.__globals__ }}", "{{ ''.__class__.__mro__ }}",
    "{{ recipe.model_dump() }}", "{{ '{0.__class__}'.format(date) }}",
    "{{ recipe|attr('__class__') }}", "{{ self.__dict__ }}",
    "{{ self._TemplateReference__context }}", "{{ cycler.__init__.__globals__.os }}",
    "{{ joiner.__init__.__globals__ }}", "{{ namespace.__init__ }}",
    "{% include '/etc/passwd' %}", "{% include '../../../../etc/passwd' %}",
    "{% import '/etc/passwd' as x %}", "{% extends '/etc/passwd' %}",
)  # fmt: skip

BOMBS = (
    "{{ 'x' * 10**10 }}", "{{ '%1000000000s' % 'x' }}", "{{ '{:1000000000}'.format('x') }}",
    "{{ 'x'|center(1000000000) }}", "{{ 'x'|indent(1000000000, true) }}",
    "{{ '%1000000000s'|format('x') }}", "{{ 'x'.ljust(1000000000) }}",
    "{{ 'x'.rjust(1000000000)|length }}", "{{ 'x'.zfill(1000000000) }}",
    "{{ 'x\t'.expandtabs(1000000000) }}", "{{ 5 .to_bytes(1000000000, 'big') }}",
    "{% set a = 'xxxxxxxx' %}" + "{% set a = a ~ a %}" * 40 + "{{ a|length }}",
    "{% set a = [1] %}" + "{% set a = a + a %}" * 40 + "{{ a|length }}",
    "{{ range(1000000000) }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 1 / 0 }}",
)  # fmt: skip

ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else '' }}{% endmacro %}{{ f(60) }}",
    "{% for a in range(99999) recursive %}{{ loop(range(99999)) }}{% endfor %}",
    "{% for a in range(99999) %}{{ 'x'.ljust(100000)|upper|title|length }}{% endfor %}",
    "{% include 'x' %}{% include 'x' %}",
    "{% set n = namespace(v=9) %}{% for a in range(99) %}{% set n.v = n.v * n.v %}{% endfor %}",
    "{{ 1|round(100000000, 'ceil') }}", "{{ 1|round(-100000000, 'floor') }}",
)  # fmt: skip

UNSTEADY = ("{{ lipsum() }}", "{{ [1, 2, 3]|random }}")


@pytest.mark.parametrize("text", ENDLESS)
def test_its_time_ends(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the main thread and in others; and afterwards all is as it was."""
    monkeypatch.setattr("voidimg.spec.templates._SECONDS", 0.5)

    def render() -> str:
        begun = time.monotonic()
        with pytest.raises(SpecError) as caught:
            Templates({"x": text.encode()}).render("x", {})
        assert time.monotonic() - begun < 10
        return caught.value.code

    with ThreadPoolExecutor() as pool:
        assert render() == pool.submit(render).result() == "E-SPEC-TEMPLATE-VALUE"


def test_the_time_of_others_goes_on() -> None:
    """A deadline that was met ends nothing later."""
    for _ in range(50):
        with suppress(OutOfTime), deadline(0.001):
            time.sleep(0.001)
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass


@pytest.mark.parametrize("text", [*REACHING, *BOMBS, *UNSTEADY])
def test_it_is_refused(text: str) -> None:
    recipe = Catalog().recipe("rpi-aarch64").recipe
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(SpecError) as caught:
        Templates({"x": text.encode()}).render("x", {"recipe": recipe, "date": "20240314"})
    assert "root:" not in str(caught.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
