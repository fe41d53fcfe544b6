"""The kept JSON Schemas, the shipped templates and the plan of a build."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.unit.spec.conftest import Write
from voidimg.artifacts.plan import planned_steps
from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError
from voidimg.spec.document import Kind
from voidimg.spec.schema import json_schema, schema_path, schema_text
from voidimg.spec.templates import Templates

RESOLVED = Catalog().recipe("rpi-aarch64")


@pytest.mark.parametrize("kind", ["platform", "profile", "set"])
def test_the_kept_schema_is_that_of_the_models(kind: Kind) -> None:
    """After a change of the models: python -m voidimg.spec.schema."""
    assert schema_path(kind).read_text() == schema_text(kind)


@pytest.mark.parametrize("kind", ["platform", "profile", "set"])
def test_a_schema_says_what_editors_need(kind: Kind) -> None:
    """The file's version and kind are required, other keys forbidden, and nothing is null."""
    schema = json_schema(kind)
    assert schema["required"] == ["schema", "kind"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["schema"]["const"] == 1
    assert "null" not in schema_text(kind)


def render(name: str, **more: object) -> str:
    """A shipped template with what a build gives it."""
    partitions = {
        "boot": SimpleNamespace(
            number=1,
            uuid="1234-ABCD",
            partuuid="5a1e0001-01",
            mount="/boot",
            filesystem="vfat",
            fstab_options="defaults",
        ),
        "root": SimpleNamespace(
            number=2,
            uuid="0b5c1ac8-0000-8000-8000-000000000000",
            partuuid="5a1e0001-02",
            mount="/",
            filesystem="ext4",
            fstab_options="defaults",
        ),
        "spare": SimpleNamespace(number=3, mount=None, filesystem="none"),
    }
    context: dict[str, object] = {"recipe": RESOLVED.recipe, "date": "20240314"}
    context |= {"partitions": partitions, "cmdline": RESOLVED.recipe.boot.cmdline}
    return Templates.read(RESOLVED.templates).render(name, context | more)


def test_fstab_mounts_the_root_first() -> None:
    """One line for each mounted partition by UUID, the root first, and Void's /tmp."""
    lines = [line.split("\t") for line in render("fstab.j2").splitlines() if line[0] != "#"]
    assert lines == [
        ["tmpfs", "/tmp", "tmpfs", "defaults,nosuid,nodev", "0", "0"],
        ["UUID=0b5c1ac8-0000-8000-8000-000000000000", "/", "ext4", "defaults", "0", "1"],
        ["UUID=1234-ABCD", "/boot", "vfat", "defaults", "0", "2"],
    ]


def test_fstab_names_swap() -> None:
    """It is mounted nowhere, and checked by nobody."""
    swap = SimpleNamespace(uuid="77", mount=None, filesystem="swap", fstab_options="defaults")
    last = render("fstab.j2", partitions={"swap": swap}).splitlines()[-1]
    assert last.split("\t") == ["UUID=77", "none", "swap", "defaults", "0", "0"]


def test_cmdline_is_one_line_with_the_root_in_front() -> None:
    """The firmware reads one line; the kernel finds its root by PARTUUID."""
    text = render("rpi/cmdline.txt.j2")
    assert text.count("\n") == 1
    assert text.startswith("root=PARTUUID=5a1e0001-02 rw rootwait ")
    assert text.endswith(" elevator=noop\n")


def test_the_release_date_is_in_the_image() -> None:
    """Under the names of os-release(5)."""
    expected = 'IMAGE_ID="void-aarch64"\nIMAGE_VERSION="20240314"\n'
    assert render("void-image-release.j2") == expected


def test_what_a_template_cannot_have_is_an_error(write: Write) -> None:
    """A missing name or template is never an empty text."""
    directory = write("templates/a.j2", "{{ nothing }}").parent
    write("templates/b.j2", "{% if %}")
    for name, code in (("a.j2", "VALUE"), ("b.j2", "SYNTAX")):
        with pytest.raises(SpecError) as caught:
            Templates.read([directory]).render(name, {})
        assert caught.value.code == f"E-SPEC-TEMPLATE-{code}"
        assert str(directory / name) in str(caught.value.where)
    with pytest.raises(SpecError, match=r"did you mean 'a\.j2'"):
        Templates.read([directory]).render("a.j", {})


def test_the_plan_has_the_stages_in_order_and_the_sizes_that_are_fixed() -> None:
    """Only what the recipe fixes has a size before packages are known."""
    steps = planned_steps(RESOLVED.recipe)
    order = ["lock", "rootfs", "platformfs", "image", "wsl"]
    stages = [step.stage for step in steps]
    assert stages == sorted(stages, key=order.index)
    sizes = {step.what: step.size for step in steps if step.size is not None}
    assert sizes == {"fill partition boot": 256 * 2**20}
    recipe = RESOLVED.recipe
    assert recipe.wsl is not None
    installed = [step.details for step in steps if step.what.startswith("install")]
    wanted = (recipe.rootfs, recipe.platformfs, recipe.wsl)
    assert installed == [stage.packages for stage in wanted]


def test_the_plan_names_the_repositories_that_replace_the_platforms_own() -> None:
    """As a build with `-r` and `--repo-key` has them."""
    recipe = RESOLVED.recipe
    steps = planned_steps(recipe, repositories=["/repo"], added=["/own"], keys=["aa:bb"])
    keys = (*recipe.keys, "aa:bb")
    assert [step.details for step in steps[:3]] == [("/own", "/repo"), keys, keys]
    own = planned_steps(recipe, added=["/own"])[:3]
    assert [step.details for step in own] == [
        ("/own", *recipe.repositories),
        recipe.keys,
        recipe.keys,
    ]


def test_the_plan_of_a_live_system() -> None:
    """The ISO comes after what has trees of its own, then what is for the network alone."""
    recipe = Catalog().recipe("x86_64", "xfce").recipe
    steps = planned_steps(recipe)
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["lock", "rootfs", "platformfs", "wsl", "live", "netboot"]
    live = [step for step in steps if step.stage == "live"]
    assert live[0].details == ("linux",)
    done = [step.what for step in live]
    order = ["install and configure", "generate the locale", "set up accounts", "enable services"]
    assert [what for what in done if what in order] == order
    assert live[-1].what == "write the ISO VOID_{date}_X86_64_XFCE_BC7E, started by"
    assert live[-1].details == ("isolinux", "grub-x86_64-efi", "grub-i386-efi")
    packages, written = (step for step in steps if step.stage == "netboot")
    assert packages.details == ("dracut-network", "dhclient", "curl")
    assert written.details == ("http://SERVER/squashfs.img",)


@pytest.mark.parametrize(
    ("platform", "stages"), [("i686", {"live", "netboot"}), ("aarch64-musl", {"live", "wsl"})]
)
def test_the_plan_has_only_what_the_platform_has(platform: str, stages: set[str]) -> None:
    """Windows runs on no 32-bit PC, and ARM machines have no PXELINUX."""
    found = {step.stage for step in planned_steps(Catalog().recipe(platform, "base").recipe)}
    assert found & {"live", "wsl", "netboot"} == stages
