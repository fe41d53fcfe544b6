"""A small native tree, made of this host's own programs and their libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from voidimg.sandbox.namespace import call

collect_ignore = [] if os.geteuid() == 0 else ["test_ordinary_user.py"]
"""Only root can play another user."""

PROGRAMS = ("dash", "cat", "ls", "sleep", "id", "setsid", "mkdir", "chown", "unshare", "mount")


@pytest.fixture(scope="session")
def native_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in which ``/bin/sh`` and a few programs run."""
    tree = tmp_path_factory.mktemp("tree")
    (tree / "bin").mkdir()
    for name in PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        shutil.copy(program, tree / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
        for word in listed.stdout.split():
            if word.startswith("/"):
                library = tree / word[1:]
                library.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, library)
    (tree / "bin/sh").symlink_to("dash")
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    call(adopt, str(tree))
    return tree


def adopt(tree: str) -> None:
    """Make root of the namespace the owner of all that is in `tree`, as of the trees of builds."""
    os.chown(tree, 0, 0)
    os.chmod(tree, 0o755)
    for directory, directories, files in os.walk(tree):
        for name in (*directories, *files):
            os.chown(os.path.join(directory, name), 0, 0, follow_symlinks=False)
