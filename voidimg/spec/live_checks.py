"""Cross checks of a live system: mixes that cannot start, and names that an ISO cannot have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voidimg.errors import SpecError
from voidimg.spec.live_model import Live, LiveContent
from voidimg.spec.problems import problem
from voidimg.spec.tree import Node, Origin
from voidimg.spec.volume_id import (
    LENGTH,
    PLACEHOLDERS,
    SAMPLE_DATE,
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
    "x86_64": {"isolinux", "grub-x86_64-efi", "grub-i386-efi"},
    "i686": {"isolinux", "grub-x86_64-efi", "grub-i386-efi"},
    "aarch64": {"grub-arm64-efi"},
}
"""Architecture -> the loaders that can start its kernel, from any firmware that it may meet."""

MAX_TITLE = 40
"""Characters of a title in a boot menu: what tells the entries apart must be on the screen too."""
_FORBIDDEN_IN_TITLES = frozenset("\"'\\$^`")

_GIVES_DEVICE_TREES = frozenset({"grub-arm64-efi"})
"""The loaders with a command for it."""

_MOST_LEVEL = {"zstd": 22, "gzip": 9, "xz": 0, "lz4": 0}
"""Compressor of mksquashfs -> its highest level; 0: it has none to choose."""


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
        known = _LOADERS.get(arch.removesuffix("-musl"), set())
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


def title_fits(title: str) -> bool:
    """Whether every loader shows `title` as it is: one line, without what they take for theirs.

    isolinux shows bytes, in the character set of the PC's own screen.
    """
    plain = title.isascii() and title.isprintable() and not set(title) & _FORBIDDEN_IN_TITLES
    return plain and bool(title.strip())


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
    if not 0 < len(shown) <= LENGTH:
        what = f"the volume id {shown!r} has {len(shown)} characters, an ISO has room for {LENGTH}"
        yield problem(place, what, code="VOLUME-ID")


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
    level, compression = live.squashfs.level, live.squashfs.compression
    if level is not None and level > _MOST_LEVEL[compression]:
        most = _MOST_LEVEL[compression]
        what = f"{compression} has levels up to {most}" if most else f"{compression} has no levels"
        yield problem(node.at("squashfs", "level").origin, what, code="SQUASHFS-LEVEL")
    size = live.squashfs.block_size
    if size & (size - 1) or not 4096 <= size <= 2**20:
        what = "blocks of a squashfs have 4 KiB to 1 MiB, a power of two"
        yield problem(node.at("squashfs", "block_size").origin, what, code="SQUASHFS-BLOCK")


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
    _check_squashfs,
    _check_access,
)
