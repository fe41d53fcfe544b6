"""The template of a stranger reads what it is given, calls nothing and fills no memory."""

from __future__ import annotations

import resource

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError
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

UNSTEADY = ("{{ lipsum() }}", "{{ [1, 2, 3]|random }}")


@pytest.mark.parametrize("text", [*REACHING, *BOMBS, *UNSTEADY])
def test_it_is_refused(text: str) -> None:
    recipe = Catalog().recipe("rpi-aarch64").recipe
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(SpecError) as caught:
        Templates({"x": text.encode()}).render("x", {"recipe": recipe, "date": "20240314"})
    assert "root:" not in str(caught.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
