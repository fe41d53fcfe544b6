"""A password in the URL of a repository: no verb shows it, and nothing keeps it."""

from __future__ import annotations

from pathlib import Path

from tests.command import voidimg
from tests.http_server import serving
from tests.unit.pipeline.shop import Shop


def test_plans_recipes_and_status_show_no_password(shop: Shop, tmp_path: Path) -> None:
    """Nor does anything that is kept; a board may name a repository that needs one."""
    shop.board()
    board = shop.root / "spec" / "platforms" / "board.toml"
    with serving(shop.path) as server:
        url = server.url.replace("//", "//me:secret@")
        text = board.read_text().replace(
            "[platformfs]", f'[repositories]\naarch64 = ["{url}"]\n[platformfs]'
        )
        board.write_text(text)
        own = ("--platforms-and-profiles", shop.root / "spec", "--profile", "little")
        key = ("--repo-key", shop.key_plist)
        status = ("repo", "status", url, "--arch", "aarch64")
        for words in (
            ("show", "board", *own),
            ("show", "board", *own, "--json"),
            ("show", "board", *own, "--origin", "--json"),
            ("show", "board", *own, "--plan"),
            ("show", "board", *own, "--plan", "-r", url, *key),
            ("show", "board", *own, "--plan", "--json", "-r", url, *key),
            ("check", board, *own[:2]),
            ("lock", "board", *own, *key, "-o", tmp_path / "lock.json"),
            ("lock", "board", *own, *key, "-o", tmp_path / "lock.json", "--update"),
            ("lock", "board", *own, *key, "--bundle", tmp_path / "bundle"),
            ("why", "board", "lib", *own, *key),
            status,
            (*status, "--json"),
            (*status, "--prometheus", tmp_path / "m.prom"),
        ):
            # in a directory of its own: a lock that is only bundled is written here too
            ended = voidimg("--cache", tmp_path / "cache", *words, cwd=tmp_path)
            assert "secret" not in ended.stdout + ended.stderr, words
            assert ended.returncode in (0, 2), ended.stderr
        assert server.url in (tmp_path / "lock.json").read_text()
    for path in tmp_path.rglob("*"):
        if path.is_file() and shop.root / "spec" not in path.parents:
            assert b"secret" not in path.read_bytes(), path
