"""Cross checks of a live system: mixes that cannot start, and names that an ISO cannot have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voidimg.arch import GRUB_PLATFORMS, X86, without_libc
from voidimg.errors import LayoutError, SpecError
from voidimg.live.menus import netboot_menu, word_problems
from voidimg.live.recipe_menu import longest_menu
from voidimg.live.squashfs import SquashfsOptions, check_options, is_block_size
from voidimg.spec.cmdline import (
    LOADER_SIGNS,
    MAX_TITLE,
    bad_menu_words,
    is_menu_word,
    sets_root,
    title_fits,
    why_not_kernel,
)
from voidimg.spec.live_model import Live, LiveContent
from voidimg.spec.model import Recipe
from voidimg.spec.problems import problem
from voidimg.spec.tree import Node, Origin
from voidimg.spec.volume_id import (
    PLACEHOLDERS,
    SAMPLE_DATE,
    VOLUME_ID_CHARACTERS,
    fill,
    has_fixed_length,
    is_plain,
    unknown_placeholders,
)

_DISPLAY_MANAGERS = ("lightdm", "sddm", "gdm", "lxdm")
_NEEDS_DBUS = (*_DISPLAY_MANAGERS, "NetworkManager")
_EXCLUDES = {
    "NetworkManager": ("dhcpcd", "dhcpcd-eth0", "wpa_supplicant", "connmand", "iwd"),
    "connmand": ("dhcpcd", "dhcpcd-eth0"),
    "dhcpcd": ("dhcpcd-eth0",),
    "wpa_supplicant": ("iwd",),
}
"""Service -> those that would configure the same network interfaces; Void's handbook says so."""

_LOADERS = {
    arch: {*(["isolinux"] if arch in X86 else []), *(f"grub-{one}" for one in platforms)}
    for arch, platforms in GRUB_PLATFORMS.items()
}
"""Architecture -> the loaders that can start its kernel, from any firmware that it may meet."""

_GIVES_DEVICE_TREES = frozenset({"grub-arm64-efi"})
"""The loaders with a command for it."""


def check_live_content(live: LiveContent, node: Node) -> Iterator[SpecError]:
    """Everything contradictory in what a profile says of a live system; `node` has its places."""
    for check in _CONTENT_CHECKS:
        yield from check(live, node)


def check_live(live: Live, arch: str, node: Node) -> Iterator[SpecError]:
    """Everything contradictory between the platform's part of a live system and the profile's."""
    if live.kernel is None:
        yield problem(
            node.key,
            "a live system needs a kernel, and neither platform nor profile has one",
            code="LIVE-KERNEL",
            hint='write kernel = "linux" into [live]',
        )
    if not live.loaders:
        yield problem(
            node.key,
            "a live system needs a boot loader",
            code="LIVE-LOADER",
            hint="write loaders into [live] of the platform",
        )
    for index, loader in enumerate(live.loaders):
        known = _LOADERS.get(without_libc(arch), set())
        if loader not in known:
            what = f"{loader} cannot start {arch}"
            yield problem(node.at("loaders", index).origin, what, code="LIVE-LOADER")
    names = [machine.name for machine in live.machines]
    for index, name in enumerate(names):
        if name in names[:index]:
            place = node.at("machines", index, "name").origin
            yield problem(place, f"machine {name!r} is there twice", code="TWICE")
        yield from _check_title(live.machines[index].title, node.at("machines", index, "title"))
        if live.machines[index].title in [one.title for one in live.machines[:index]]:
            place = node.at("machines", index, "title").origin
            what = f"two machines have the title {live.machines[index].title!r}"
            yield problem(place, what, code="TWICE")
    if live.machines and _GIVES_DEVICE_TREES.isdisjoint(live.loaders):
        yield problem(
            node.at("machines").key,
            f"{', '.join(live.loaders) or 'no loader'} cannot give a machine its device tree",
            code="LIVE-MACHINE",
            hint="machines with submenus are for grub-arm64-efi",
        )
    if live.serial and live.serial_port is None:
        yield problem(
            node.at("serial").origin,
            "the platform names no serial port",
            code="SERIAL",
            hint='write serial_port = "ttyS0,115200" into [live] of the platform',
        )


def _check_networks(live: LiveContent, node: Node) -> Iterator[SpecError]:
    for service, others in _EXCLUDES.items():
        both = [other for other in others if other in live.services]
        if service in live.services and both:
            yield problem(
                _service(node, both[0]),
                f"{service} and {' and '.join(both)} cannot both look after the network",
                code="NETWORK",
                hint="enable one of them",
            )


def _check_display(live: LiveContent, node: Node) -> Iterator[SpecError]:
    found = [name for name in _DISPLAY_MANAGERS if name in live.services]
    for other in found[1:]:
        what = f"{found[0]} and {other} cannot both have the screen"
        yield problem(_service(node, other), what, code="DISPLAY-MANAGER", hint="enable one")
    for service in _NEEDS_DBUS:
        if service in live.services and "dbus" not in live.services:
            what = f"{service} does not start without the service dbus"
            hint = "add dbus to the services"
            yield problem(_service(node, service), what, code="SERVICE-NEEDS", hint=hint)
    if found and not live.graphical:
        what = f"{found[0]} needs X, and the profile is not graphical"
        hint = 'extend "desktop", or write graphical = true and add the packages of X'
        yield problem(_service(node, found[0]), what, code="GRAPHICAL", hint=hint)
    if found and live.session is None:
        what = f"{found[0]} is not told which session to start"
        hint = 'write session = "..." into [live]; /usr/share/xsessions has the names'
        yield problem(_service(node, found[0]), what, code="SESSION", hint=hint)


def _check_volume_id(live: LiveContent, node: Node) -> Iterator[SpecError]:
    template = live.volume_id
    if template is None:
        return
    place = node.at("volume_id").origin
    if unknown_placeholders(template) or not is_plain(template):
        yield problem(
            place,
            f"the volume id {template!r} has other characters than A to Z, 0 to 9 and _",
            code="VOLUME-ID",
            hint=f"the placeholders are {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}",
        )
    elif has_fixed_length(template):
        yield from check_volume_id_length(fill(template, {"date": SAMPLE_DATE}), place)


def check_volume_id_length(shown: str, place: Origin) -> Iterator[SpecError]:
    """An ISO has no room for more; `shown` is the volume id with its placeholders filled."""
    if not 0 < len(shown) <= VOLUME_ID_CHARACTERS:
        what = f"the volume id {shown!r} has {len(shown)} characters, an ISO has room for"
        what += f" {VOLUME_ID_CHARACTERS}"
        yield problem(place, what, code="VOLUME-ID")


def _check_cmdline(live: LiveContent, node: Node) -> Iterator[SpecError]:
    yield from _check_words(live.cmdline, node.at("cmdline").origin)


def check_menus(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    """What the boot menus of `recipe` cannot say; `node` has the places of its ``[live]``.

    The planner of menus judges what the words of all files come to together.
    """
    live = recipe.live
    if live is None:
        return
    found: list[SpecError] = []
    for index, machine in enumerate(live.machines):
        place = node.at("machines", index, "cmdline").origin
        found += _check_words(machine.cmdline, place)
    menus = [longest_menu(recipe)]
    if live.netboot is not None:
        place = node.at("netboot", "url").origin
        if not is_menu_word(live.netboot.url):
            what = f"{live.netboot.url!r} cannot stand in a boot menu: a loader would change it"
            found.append(problem(place, what, code="CMDLINE", hint=_WORDS_HINT))
        menus.append(netboot_menu(menus[0], live.netboot.url))
    found += _check_words(live.cmdline, node.at("cmdline").origin)
    if not found:
        place = node.at("cmdline").origin
        found += [
            problem(place, one.what, code="CMDLINE", hint=one.hint)
            for menu in menus
            for one in word_problems(menu)
        ]
    yield from found


_WORDS_HINT = f"do without {' '.join(sorted(LOADER_SIGNS))} and without letters that are not ASCII"


def _check_words(cmdline: str, place: Origin) -> Iterator[SpecError]:
    """What a menu cannot have on its command lines."""
    for word in bad_menu_words(cmdline):
        what = f"{word!r} cannot stand in a boot menu: a loader would change it"
        yield problem(place, what, code="CMDLINE", hint=_WORDS_HINT)
    reason = why_not_kernel(cmdline)
    if reason is not None and not any(bad_menu_words(cmdline)):
        yield problem(place, f"the kernel cannot read cmdline: {reason}", code="CMDLINE")
    if sets_root(cmdline):
        what = "cmdline must not say root=: the root of a live system is on its medium"
        yield problem(place, what, code="CMDLINE-ROOT")


def _check_menu_title(live: LiveContent, node: Node) -> Iterator[SpecError]:
    yield from _check_title(live.title, node.at("title"))


def _check_title(title: str, node: Node) -> Iterator[SpecError]:
    if not title_fits(title):
        what = f"{title!r} cannot stand in a boot menu"
        hint = "write one line of ASCII without quotes, $, ^ and \\"
        yield problem(node.origin, what, code="MENU-TITLE", hint=hint)
    elif len(title) > MAX_TITLE:
        what = f"the title has {len(title)} characters, a boot menu has room for {MAX_TITLE}"
        yield problem(node.origin, what, code="MENU-TITLE", hint="write a shorter one")


def _check_squashfs(live: LiveContent, node: Node) -> Iterator[SpecError]:
    wanted = live.squashfs
    try:
        check_options(SquashfsOptions(wanted.compression, wanted.level, wanted.block_size))
    except LayoutError as error:
        key, code = "level", "SQUASHFS-LEVEL"
        if not is_block_size(wanted.block_size):
            key, code = "block_size", "SQUASHFS-BLOCK"
        yield problem(node.at("squashfs", key).origin, error.what, code=code, hint=error.hint)


def _check_access(live: LiveContent, node: Node) -> Iterator[SpecError]:
    if live.access.user == "root":
        what = "the live user cannot be root, who is there already"
        yield problem(node.at("access", "user").origin, what, code="LIVE-USER")
    if live.access.sudo != "none" and "wheel" not in live.access.groups:
        what = "access.sudo is for the group wheel, and the live user is not in it"
        place = node.at("access", "groups").origin
        yield problem(place, what, code="LIVE-USER", hint='add "wheel", or write sudo = "none"')


def _service(node: Node, name: str) -> Origin:
    for element in node.at("services").items:
        if element.content == name:
            return element.origin
    return node.at("services").key


_CONTENT_CHECKS: tuple[Callable[[LiveContent, Node], Iterator[SpecError]], ...] = (
    _check_networks,
    _check_display,
    _check_volume_id,
    _check_menu_title,
    _check_cmdline,
    _check_squashfs,
    _check_access,
)
