"""Live systems in platform and profile files: what Void's have, parts, and impossible mixes.

The mark ▸ in a text is where the error is expected.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.spec.conftest import Write, place_of_mark
from voidimg.artifacts.plan import planned_steps
from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError
from voidimg.spec.live_model import Live
from voidimg.spec.templates import Templates
from voidimg.spec.volume_id import volume_id_of

HEAD = 'schema = 1\nkind = "profile"\n'
XFCE = HEAD + 'extends = "xfce"\n'
BASE = HEAD + 'extends = "base"\n'
DESKTOP = HEAD + 'extends = "desktop"\n'
PC = 'schema = 1\nkind = "platform"\nextends = "x86_64"\n'
ARM = PC.replace("x86_64", "aarch64")
LIVE_PLATFORMS = (
    "x86_64", "x86_64-musl", "i686", "aarch64", "aarch64-musl", "asahi", "asahi-musl",
)  # fmt: skip


def words(text: str) -> set[str]:
    return set(text.split())


COMMON = words(
    "base-system dialog cryptsetup lvm2 mdadm void-docs-browse xtools-minimal xmirror chrony tmux"
    " espeakup void-live-audio brltty jq"
)
X = words(
    "font-misc-misc terminus-font dejavu-fonts-ttf xorg-minimal xorg-input-drivers setxkbmap xauth"
    " orca pipewire alsa-pipewire"
)
GVFS = {"gvfs-afc", "gvfs-mtp", "gvfs-smb", "udisks2", "firefox"}
LIGHTDM = {"lightdm", "lightdm-gtk-greeter"}
XFCE4 = GVFS | words(
    "xfce4 gnome-themes-standard gnome-keyring network-manager-applet xfce4-pulseaudio-plugin"
)
DHCPCD, ALONE = {"dhcpcd", "wpa_supplicant"}, {"dbus", "NetworkManager"}

VOID: dict[str, tuple[set[str], set[str], str | None]] = {
    "base": (set(), DHCPCD | {"acpid"}, None),
    "enlightenment": (
        X | LIGHTDM | {"enlightenment", "terminology", "udisks2", "firefox"},
        DHCPCD | {"acpid", "lightdm", "dbus", "polkitd"},
        "enlightenment",
    ),
    "xfce": (X | LIGHTDM | XFCE4, ALONE | {"lightdm", "polkitd"}, "xfce"),
    "xfce-wayland": (
        X | LIGHTDM | XFCE4 | {"mesa-dri", "labwc"},
        ALONE | {"lightdm", "polkitd"},
        "xfce-wayland",
    ),
    "mate": (
        X | LIGHTDM | GVFS | {"mate", "mate-extra", "gnome-keyring", "network-manager-applet"},
        ALONE | {"lightdm", "polkitd"},
        "mate",
    ),
    "cinnamon": (
        X | LIGHTDM | GVFS | {"cinnamon", "gnome-keyring", "colord", "gnome-terminal"},
        ALONE | {"lightdm", "polkitd"},
        "cinnamon",
    ),
    "gnome": (X | {"gnome", "firefox", "NetworkManager"}, ALONE | {"gdm", "polkitd"}, "gnome"),
    "kde": (
        X | {"kde5", "konsole", "firefox", "dolphin", "NetworkManager"},
        ALONE | {"sddm"},
        "plasma",
    ),
    "lxde": (
        X | LIGHTDM | GVFS | {"lxde"},
        DHCPCD | {"acpid", "dbus", "lightdm", "polkitd"},
        "LXDE",
    ),
    "lxqt": (X | GVFS | {"lxqt", "sddm"}, DHCPCD | {"dbus", "sddm", "polkitd"}, "lxqt"),
}
"""Profile -> packages and services beside the common ones, and session, of Void's own ISOs."""


def live(platform: str, profile: str, *search: Path) -> Live:
    found = Catalog(search).recipe(platform, profile).recipe.live
    assert found is not None
    return found


@pytest.mark.parametrize("profile", VOID)
def test_the_live_systems_of_void(profile: str) -> None:
    """Exactly the packages, services and sessions of Void's own ISOs."""
    found = live("x86_64", profile)
    packages, services, session = VOID[profile]
    loaders = {"grub-i386-efi", "grub-x86_64-efi"}
    graphics = {"xorg-video-drivers", "xf86-video-intel"} if profile != "base" else set()
    assert set(found.packages) == COMMON | packages | loaders | graphics
    common = {"sshd", "chronyd", "udevd", *(f"agetty-tty{number}" for number in range(1, 7))}
    assert set(found.services) == common | services
    assert found.session == session
    greeter = {file.path for file in found.files if file.path.startswith("/etc/lightdm/")}
    assert bool(greeter) == ("lightdm" in services)


def test_every_live_platform_takes_every_profile() -> None:
    """Whatever profile, the kernel and loaders are the platform's."""
    for platform in LIVE_PLATFORMS:
        for profile in VOID:
            kernel = "linux-asahi" if platform.startswith("asahi") else "linux"
            assert live(platform, profile).kernel == kernel
    arm = live("aarch64", "xfce")
    assert {"pinebookpro-base", "x13s-base", "grub-arm64-efi"} <= set(arm.packages)
    assert "xf86-video-intel" not in arm.packages
    assert [machine.name for machine in arm.machines] == ["pinebookpro", "x13s"]
    assert arm.loaders == ("grub-arm64-efi",)


def test_a_platform_without_live_part_has_no_live_system() -> None:
    """The Raspberry Pi takes the same profiles, for its tarballs and images."""
    assert Catalog().recipe("rpi-aarch64", "base").recipe.live is None


def test_the_greeter_has_its_layout_menu_and_knows_its_session() -> None:
    """The files that LightDM and X read, as Void writes them."""
    resolved = Catalog().recipe("x86_64", "xfce")
    files = {file.path: file for file in live("x86_64", "xfce").files}
    greeter = files["/etc/lightdm/lightdm-gtk-greeter.conf"].content or ""
    assert greeter.splitlines() == [
        "[greeter]",
        "indicators = ~host;~spacer;~clock;~spacer;~layout;~session;~a11y;~power",
    ]
    context = {"recipe": resolved.recipe, "date": "20240314"}
    names = ("/etc/lightdm/.session", "/etc/X11/xorg.conf.d/00-keyboard.conf")
    session, keyboard = (
        Templates.read(resolved.templates).render(files[name].template or "", context)
        for name in names
    )
    assert session == "xfce\n"
    assert '\tOption "XkbLayout" "us,de,fr,es"\n' in keyboard
    assert '\tOption "XkbVariant" ",,,"\n' in keyboard


def test_offered_layouts_with_variants(write: Write, tmp_path: Path) -> None:
    """Layouts are profile data; a variant goes into the list of variants at its place."""
    text = XFCE + '[live]\nkeyboard = { layouts = ["us", "de(nodeadkeys)"] }\n'
    write("profiles/mine.toml", text)
    resolved = Catalog([tmp_path]).recipe("x86_64", "mine")
    context = {"recipe": resolved.recipe}
    keyboard = Templates.read(resolved.templates).render("live/keyboard.conf.j2", context)
    assert '"us,de"' in keyboard
    assert '",nodeadkeys"' in keyboard


def volume_id(template: str | None, platform: str, profile: str, date: str = "20240314") -> str:
    recipe = Catalog().recipe(platform, "base").recipe
    assert recipe.live is not None
    changed = recipe.live.model_copy(update={"volume_id": template})
    return volume_id_of(recipe.model_copy(update={"live": changed, "profile": profile}), date)


def test_the_volume_id_may_have_names() -> None:
    """Each as a volume id can hold it."""
    assert volume_id("VOID_LIVE", "x86_64", "base") == "VOID_LIVE"
    assert volume_id("VOID_{date}", "x86_64", "base", "20240314rc1") == "VOID_20240314RC1"
    template = "{date}_{platform}_{arch}_{profile}"
    assert volume_id(template, "i686", "my-x.y") == "20240314_I686_I686_MY_X_Y"


def test_the_volume_ids_of_all_media_differ() -> None:
    """By date, platform and profile, however long or alike the names are; each fits an ISO."""
    platforms = LIVE_PLATFORMS
    profiles = (*VOID, "musl-base", "Base", "ba-se", "ba_se", "ba.se", "x" * 60, "x" * 61, "\xfc")
    dates = ("20240314", "20240315", "20240314rc1")
    found = [
        volume_id(None, platform, profile, date)
        for platform in platforms for profile in profiles for date in dates
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert all(re.fullmatch("[A-Z0-9_]{1,32}", one) for one in found)
    assert volume_id(None, "x86_64", "xfce").startswith("VOID_20240314_X86_64_XFCE_")


def test_parts_are_laid_over_the_parent_in_their_order(write: Write, tmp_path: Path) -> None:
    """What is included comes before the document's own words, and once."""
    write("profiles/one.toml", HEAD + 'abstract = true\n[live]\ntitle = "one"\nkeymap = "de"\n')
    text = HEAD + 'abstract = true\n[live]\ntitle = "two"\nservices.add = ["x"]\n'
    write("profiles/two.toml", text)
    mine = BASE + 'include = ["one", "two"]\n[live]\nservices.remove = ["x"]\n'
    write("profiles/mine.toml", mine)
    found = live("x86_64", "mine", tmp_path)
    assert (found.title, found.keymap) == ("two", "de")
    assert "x" not in found.services
    assert "one" not in [entry.name for entry in Catalog([tmp_path]).profiles()]


WRONG = [
    (XFCE + '[live]\nservices = { add = [▸"dhcpcd"] }\n', "NETWORK", "look after the network"),
    (XFCE + 'include = ["sddm"]\n', "DISPLAY-MANAGER", "cannot both have the screen"),
    (XFCE + '[live]\nservices = { remove = ["dbus", "NetworkManager"] }\n', "SERVICE-NEEDS",
     "lightdm does not start without the service dbus"),
    (XFCE + 'include = ["dhcpcd"]\n', "NETWORK", "NetworkManager and dhcpcd and wpa_supplicant"),
    (BASE + '[live]\nservices = { add = [▸"dhcpcd-eth0"] }\n', "NETWORK", "dhcpcd and dhcpcd-eth0"),
    (BASE + '[live]\nservices = { add = [▸"iwd"] }\n', "NETWORK", "wpa_supplicant and iwd"),
    (DESKTOP + 'include = ["lightdm"]\n', "SESSION", "which session"),
    (BASE + 'include = ["lightdm"]\n[live]\nsession = "xfce"\n', "GRAPHICAL", "is not graphical"),
    (BASE + '[live]\nvolume_id = ▸"A_NAME_THAT_IS_TOO_LONG_FOR_{date}"\n', "VOLUME-ID", "room for"),
    (BASE + '[live]\nvolume_id = ▸""\n', "VOLUME-ID", "has 0 characters"),
    (BASE + '[live]\nvolume_id = ▸"VOID_{}"\n', "VOLUME-ID", "other characters"),
    (BASE + '[live]\nvolume_id = ▸"VOID_{profile}-{date}"\n', "VOLUME-ID", "other characters"),
    (BASE + '[live]\naccess = { password = ▸"" }\n', "PASSWORD", "an empty password"),
    (BASE + '[live]\naccess = { password = ▸"a\\tb" }\n', "PASSWORD", "one line"),
    (BASE + '[live]\naccess = { password = ▸true }\n', "TYPE", "should be a string"),
    (BASE + 'users = [{ name = "root", password = ▸"" }]\n', "PASSWORD", "an empty password"),
    (BASE + 'users = [{ name = ▸"anon" }]\n', "NAME-TAKEN", "is the live user too"),
    (BASE + 'hostname = ▸"a..b"\n', "HOSTNAME", "host name"),
    (BASE + 'hostname = ▸"a.-b"\n', "HOSTNAME", "host name"),
    (BASE + f'hostname = ▸"{"a." * 40}b"\n', "HOSTNAME", "64 characters"),
    (BASE + 'hostname = ▸"localhost"\n', "NAME-TAKEN", "of every machine for itself"),
    (BASE + 'hostname = ▸"localhost.localdomain"\n', "NAME-TAKEN", "of every machine"),
    (BASE + '[live]\nalternatives = { sh = ▸"a b" }\n', "PACKAGE", "name of a package"),
    (BASE + '[live]\nvolume_id = ▸"VOID-LIVE"\n', "VOLUME-ID", "other characters"),
    (BASE + '[live]\nvolume_id = ▸"VOID_{day}"\n', "VOLUME-ID", "other characters"),
    (BASE + "[live]\nsquashfs = { level = ▸23 }\n", "VALUE", "less than or equal"),
    (BASE + '[live]\nsquashfs = { compression = "xz", level = ▸6 }\n', "SQUASHFS-LEVEL", "no lev"),
    (BASE + '[live]\nsquashfs = { compression = ▸"lzma" }\n', "VALUE", "'lzma'"),
    (BASE + '[live]\nsquashfs = { block_size = ▸"2MiB" }\n', "SQUASHFS-BLOCK", "1 MiB"),
    (BASE + '[live]\naccess = { user = ▸"root" }\n', "LIVE-USER", "cannot be root"),
    (BASE + '[live]\naccess = { groups = ▸["audio"] }\n', "LIVE-USER", "wheel"),
    (BASE + '[live]\nkeyboard = { layouts = ▸["us", "de", "fr", "es", "it"] }\n', "VALUE", "at mo"),
    (BASE + '[live]\nkeyboard = { layouts = [▸"German"] }\n', "LAYOUT", "layout of X"),
    (BASE + '[live]\nkeymap = ▸"../de"\n', "KEYMAP", "keymap of the console"),
    (BASE + '[live]\ncmdline = ▸"a\\nb"\n', "VALUE", "live.cmdline"),
    (BASE + '[live]\ntitle = ▸"Void\\u001b[2J"\n', "MENU-TITLE", "cannot stand in a boot menu"),
    (BASE + '[live]\ntitle = ▸"Void $arch"\n', "MENU-TITLE", "cannot stand in a boot menu"),
    (BASE + '[live]\ntitle = ▸"Void für alle"\n', "MENU-TITLE", "cannot stand in a boot menu"),
    (BASE + f'[live]\ntitle = ▸"{"x" * 41}"\n', "MENU-TITLE", "has 41 characters"),
    (BASE + '[live]\ntitle = ▸" "\n', "MENU-TITLE", "cannot stand in a boot menu"),
    (BASE + '[live.service_packages]\nsshd = ▸"a b"\n', "PACKAGE", "name of a package"),
    (BASE + '[live.files]\nadd = [{ path = "/a", template = ▸"live/isue.j2" }]\n', "TEMPLATE",
     "no template"),
    (BASE + 'include = [▸"dhcpd"]\n', "UNKNOWN-PROFILE", "include: there is no profile 'dhcpd'"),
    (BASE + 'include = [▸"xfce"]\n', "INCLUDE", "is not abstract"),
    (BASE + 'include = [▸"desktop"]\n', "INCLUDE", "has 'extends' itself"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "code", "what"), WRONG)
def test_what_is_wrong_with_a_live_profile(write: Write, marked: str, code: str, what: str) -> None:
    """One error, and where its value is written; it may be in a part that was mixed in."""
    place = None
    if "▸" in marked:
        marked, place = place_of_mark(marked)
    path = write("profiles/mine.toml", marked)
    errors = Catalog().check_files([path])
    assert [error.code for error in errors] == [f"E-SPEC-{code}"] * len(errors)
    assert what in errors[0].what
    if place is not None:
        assert errors[0].where == f"{path}:{place}"


HARDWARE = [
    (PC + '[live]\nloaders = [▸"grub-arm64-efi"]\n', "LIVE-LOADER", "cannot start x86_64"),
    (PC + "[live]\nloaders = []\n", "LIVE-LOADER", "needs a boot loader"),
    (PC + '[live]\nserial_port = ▸"ttyS0"\n', "SERIAL", "serial port with its speed"),
    (ARM + '[live]\nmachines = [{ name = "a", title = "A", devicetree = "a.dtb" },'
     ' { name = ▸"a", title = "B", devicetree = "b.dtb" }]\n',
     "TWICE", "machine 'a'"),
    (ARM + '[live]\nmachines = [{ name = "a", title = ▸"A\\nB", devicetree = "a.dtb" }]\n',
     "MENU-TITLE", "cannot stand in a boot menu"),
    (ARM + '[live]\nmachines = [{ name = "a", title = "A", devicetree = "a.dtb" },'
     ' { name = "b", title = ▸"A", devicetree = "b.dtb" }]\n', "TWICE", "the title 'A'"),
    (PC + '[live.netboot]\nurl = ▸"tftp://SERVER/squashfs.img"\n', "URL", "http(s) URL"),
    (ARM + '[live]\nmachines = [▸{ name = "a", title = "A", packages = ["a-base"] }]\n',
     "MISSING", "devicetree"),
    (ARM + '[live]\nmachines = [{ name = "a", title = "A", packages = [▸"a base"],'
     ' devicetree = "a.dtb" }]\n', "PACKAGE", "a base"),
    (ARM + '[live]\nmachines = [{ name = "a", title = "A", devicetree = ▸"../a.dtb" }]\n',
     "VALUE", "devicetree"),
    (PC + '[live]\n▸machines = [{ name = "a", title = "A", devicetree = "a.dtb" }]\n',
     "LIVE-MACHINE", "cannot give a machine its device tree"),
    (PC.replace('"x86_64"', '"void"')
     + 'summary = "s"\narch = "x86_64"\nlibc = ["glibc"]\n[live]\nloaders = ["isolinux"]\n',
     "LIVE-KERNEL", "needs a kernel"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "code", "what"), HARDWARE)
def test_what_is_wrong_with_a_live_platform(
    write: Write, marked: str, code: str, what: str
) -> None:
    """Said for the platform with its own profile."""
    place = None
    if "▸" in marked:
        marked, place = place_of_mark(marked)
    path = write("platforms/mine.toml", marked)
    errors = Catalog().check_files([path])
    assert {error.code for error in errors} == {f"E-SPEC-{code}"}
    assert what in errors[0].what
    if place is not None:
        assert errors[0].where == f"{path}:{place}"


def test_a_file_of_the_platform_takes_the_place_of_the_profile_s(
    write: Write, tmp_path: Path
) -> None:
    """Void's installer makes only PCs start: others have a word that says so."""
    path = "/usr/bin/void-installer"
    write("files/installer", "#!/bin/sh\n")
    own = f'{{ path = "{path}", source = "installer", mode = "0755" }}'
    write("profiles/mine.toml", f"{BASE}[live.files]\nadd = [{own}]\n")
    (pc,) = [file for file in live("x86_64", "mine", tmp_path).files if file.path == path]
    (arm,) = [file for file in live("aarch64", "mine", tmp_path).files if file.path == path]
    assert (pc.source, pc.mode) == ("installer", 0o755)
    assert (arm.source, arm.template, arm.mode) == (None, "live/no-installer.sh.j2", 0o755)
    paths = [file.path for file in live("aarch64", "base").files]
    assert paths.count(path) == 1
    assert "/etc/issue" in paths
    assert path not in [file.path for file in live("x86_64", "base").files]


def test_an_abstract_profile_cannot_be_built() -> None:
    """It is a part of others, and may well be incomplete."""
    with pytest.raises(SpecError, match="only there to be extended or included") as caught:
        Catalog().recipe("x86_64", "desktop")
    assert caught.value.code == "E-SPEC-ABSTRACT"
    paths = [file for file in Catalog().files() if file.stem in ("desktop", "lightdm")]
    assert Catalog().check_files(paths) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [("", "void-live"), ('hostname = "kiosk"\n', "kiosk"), ('hostname = "a.b-c.d"\n', "a.b-c.d")],
)
def test_the_host_name_of_a_profile_is_that_of_its_live_system(
    words: str, name: str, write: Write, tmp_path: Path
) -> None:
    """A profile that gives none has Void's."""
    write("profiles/mine.toml", BASE + words)
    recipe = Catalog([tmp_path]).recipe("x86_64", "mine").recipe
    assert recipe.live_hostname == name
    (step,) = [step for step in planned_steps(recipe)
               if (step.stage, step.what) == ("live", "set the host name")]  # fmt: skip
    assert step.details == (name,)


def test_what_the_live_systems_of_void_have_beside_packages() -> None:
    """RAID volumes of LVM are started, and dash is /bin/sh whatever the order of packages is."""
    found = live("x86_64", "base")
    files = {file.path: file.content for file in found.files}
    assert files["/etc/modules-load.d/dm-raid.conf"] == "dm-raid\n"
    assert found.alternatives == {"sh": "dash"}


def test_a_password_that_is_false_locks(write: Write, tmp_path: Path) -> None:
    """TOML has no word for nothing; the issue promises no password then."""
    text = "[live]\naccess = { password = false }\n"
    write("profiles/mine.toml", BASE + 'users = [{ name = "root", password = false }]\n' + text)
    resolved = Catalog([tmp_path]).recipe("x86_64", "mine")
    assert resolved.recipe.live is not None
    assert resolved.recipe.live.access.password is None
    assert resolved.recipe.users[0].password is None
    context = {"recipe": resolved.recipe, "date": "20240314"}
    issue = Templates.read(resolved.templates).render("live/issue.j2", context)
    assert 'The user is "anon", whom no password lets in.\n' in issue
    assert "root" not in issue


def test_the_issue_shows_a_password_as_it_is(write: Write, tmp_path: Path) -> None:
    r"""agetty takes \d for the date, and two backslashes for one (agetty(8), issue escapes)."""
    text = "[live]\naccess = { password = 'pa\\d\\n1\\\\' }\n"
    write("profiles/mine.toml", BASE + "users = [{ name = 'root', password = '\\4%x' }]\n" + text)
    resolved = Catalog([tmp_path]).recipe("x86_64", "mine")
    context = {"recipe": resolved.recipe, "date": "20240314"}
    issue = Templates.read(resolved.templates).render("live/issue.j2", context)
    assert r'the password "pa\\d\\n1\\\\".' in issue
    assert r'The password of root is "\\4%x".' in issue
