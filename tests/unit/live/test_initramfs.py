"""The initramfs of a live system: the kernel it is for, how dracut is asked, what stays behind.

dracut itself is stood in for by a script that tells how it was called; it runs in the sandbox.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.sandbox.conftest import adopt
from voidimg.errors import LayoutError, ScriptError
from voidimg.formats.cpio import decode_initramfs
from voidimg.live.initramfs import find_kernel, make_initramfs
from voidimg.sandbox.namespace import call

ARCH = os.uname().machine
RELEASE = "6.12.9_1"
DRACUT = """#!/bin/sh
# knows --reproducible
for word; do out=$word; done
read -r release < /usr/lib/release
member() {
    printf '070701%08d%08x%032d%08x%032d%08x%08d%s\\0' 0 33188 0 "${#2}" 0 $((${#1} + 1)) 0 "$1"
    pad $((${#1} + 111))
    printf %s "$2"
    pad "${#2}"
}
pad() {
    set -- $(((4 - $1 % 4) % 4))
    while [ $1 -gt 0 ]; do printf '\\0'; set -- $(($1 - 1)); done
}
{
    member words "$* $SOURCE_DATE_EPOCH"
    read -r line < /usr/lib/dracut/modules.d/90void-live/a.sh
    member usr/lib/void-live/lib.sh "$line"
    member usr/sbin/dmsquash-live-root ''
    for driver in isofs loop overlay squashfs; do
        member usr/lib/modules/$release/$driver.ko ''
    done
    member 'TRAILER!!!' ''
} > "$out"
: > /boot/other
"""
"""Makes an initramfs of its own words and our module, for the kernel that a file names."""


def write(root: Path, path: str, text: str = "", mode: int = 0o644) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with this host's dash, a kernel, and a dracut."""
    root = tmp_path / "root"
    program = shutil.which("dash")
    assert program is not None
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in {word for word in listed.split() if word.startswith("/")}:
        target = root / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(library).resolve(), target)
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(program, root / "bin/sh")
    write(root, f"boot/vmlinuz-{RELEASE}", "kernel")
    write(root, f"boot/initramfs-{RELEASE}.img", "of the package's hook")
    write(root, f"usr/lib/modules/{RELEASE}/modules.dep")
    write(root, "usr/lib/release", f"{RELEASE}\n")
    write(root, "usr/bin/dracut", DRACUT, 0o755)
    for module in ("90dmsquash-live", "90overlayfs", "00systemd"):
        (root / "usr/lib/dracut/modules.d" / module).mkdir(parents=True)
    root.chmod(0o755)
    return root


def make(root: str, out: str) -> None:
    """Runs inside the namespace."""
    adopt(root)
    make_initramfs(
        Path(root),
        Path(out),
        find_kernel(Path(root)),
        arch=ARCH,
        module={"a.sh": b"echo\n", "keymaps": b"us us\n"},
        compression="xz",
        epoch=1710374400,
    )


def test_the_kernel_is_the_one_with_modules_and_image(root: Path) -> None:
    """Modules without an image, as of a removed kernel, are none."""
    write(root, "usr/lib/modules/5.0_1/modules.dep")
    kernel = find_kernel(root)
    assert (kernel.release, kernel.image) == (RELEASE, f"/boot/vmlinuz-{RELEASE}")
    assert kernel.name == "vmlinuz"


def test_no_kernel_and_several(root: Path) -> None:
    """Neither could be started."""
    write(root, "usr/lib/modules/6.6.1_1/modules.dep")
    write(root, "boot/vmlinux-6.6.1_1")
    with pytest.raises(LayoutError, match="several kernels") as caught:
        find_kernel(root)
    assert caught.value.code == "E-LAYOUT-KERNELS"
    shutil.rmtree(root / "boot")
    with pytest.raises(LayoutError, match="no kernel") as caught:
        find_kernel(root)
    assert caught.value.code == "E-LAYOUT-NO-KERNEL"


def test_dracut_is_asked_for_any_machine_and_live_media(root: Path, tmp_path: Path) -> None:
    """Reproducibly where it can; afterwards the tree is as before, less the host's initramfs."""
    before = sorted(path for path in root.rglob("*") if "boot" not in path.parts)
    call(make, str(root), str(tmp_path / "initrd"))
    content = (tmp_path / "initrd").read_bytes()
    members = decode_initramfs(content, lambda _path: True, "initrd").contents
    assert members["/words"].decode() == (
        "--reproducible --force --no-hostonly --xz --add dmsquash-live overlayfs void-live"
        f" --omit systemd plymouth --kver {RELEASE} /boot/initrd 1710374400"
    )
    assert members["/usr/lib/void-live/lib.sh"] == b"echo"
    assert sorted(path.name for path in (root / "boot").iterdir()) == [f"vmlinuz-{RELEASE}"]
    made = {"dev", "proc", "sys", "tmp", "run"}
    after = [path for path in root.rglob("*") if "boot" not in path.parts]
    assert [
        path
        for path in sorted(after)
        if path not in before and path.relative_to(root).parts[0] not in made
    ] == []


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo oh no; exit 3", "failed with 3: oh no"),
        ("echo \"dracut: dracut module 'overlayfs' cannot be found or installed.\"",
         "left out its module overlayfs"),
    ],
)  # fmt: skip
def test_a_dracut_that_fails_or_leaves_something_out(
    root: Path, tmp_path: Path, script: str, what: str
) -> None:
    """dracut ends well even when it left out a module that was asked for."""
    write(root, "usr/bin/dracut", f"#!/bin/sh\n{script}\n", 0o755)
    with pytest.raises(ScriptError, match=what) as caught:
        call(make, str(root), str(tmp_path / "initrd"))
    assert caught.value.code == "E-SCRIPT-DRACUT"
    assert not (tmp_path / "initrd").exists()


@pytest.mark.parametrize(
    ("release", "code"), [("6.12.8_1", "INITRAMFS-UNFIT"), (RELEASE, "INITRAMFS")]
)
def test_what_dracut_made_is_looked_at(root: Path, tmp_path: Path, release: str, code: str) -> None:
    """It ended well, but with modules of another kernel, or with damaged bytes."""
    write(root, "usr/lib/release", f"{release}\n")
    if code == "INITRAMFS":
        write(root, "usr/bin/dracut", "#!/bin/sh\necho text > /boot/initrd\n", 0o755)
    with pytest.raises(LayoutError) as caught:
        call(make, str(root), str(tmp_path / "initrd"))
    assert caught.value.code == f"E-LAYOUT-{code}"
    assert not (tmp_path / "initrd").exists()


def test_a_tree_without_dracut(root: Path, tmp_path: Path) -> None:
    """Said before anything is run."""
    shutil.rmtree(root / "usr/lib/dracut")
    with pytest.raises(LayoutError, match="no dracut") as caught:
        call(make, str(root), str(tmp_path / "initrd"))
    assert caught.value.code == "E-LAYOUT-NO-DRACUT"
