"""One state of the repositories for all platforms of a run: each is read once, and looked at again.

Whatever is made in a run comes from the repodata that was read first. Whether a repository changed
in the meantime is asked at the end of the downloads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from voidimg.errors import FetchError, PackageError, VerifyError, VoidimgError
from voidimg.events import Listener, Message
from voidimg.fetch import Cache, Fetcher, Location, RepodataFile
from voidimg.fetch.repodata import Check
from voidimg.spec.model import Recipe
from voidimg.supply.opened import (
    OpenRepository,
    fetch_repodata,
    open_repository,
    require_arch,
)
from voidimg.supply.seen import compare_with_seen
from voidimg.supply.seen_versions import SeenVersions
from voidimg.supply.sources import Sources
from voidimg.supply.trust import Trust
from voidimg.supply.void_mirrors import old_name_warnings
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.repository.repodata import Repodata


class RepositoryState:
    """The repositories as this run has seen them."""

    def __init__(self, sources: Sources, listener: Listener):
        self.sources = sources
        self.cache = Cache(sources.cache)
        self.fetcher = Fetcher(
            self.cache, jobs=max(4, sources.jobs), listener=listener, offline=sources.offline
        )
        self._listener = listener
        self._seen = SeenVersions(self.cache)
        self._files: dict[tuple[tuple[Location, ...], str], tuple[RepodataFile, ...]] = {}
        self._checks: dict[tuple[tuple[Location, ...], str], Callable[[Location], Check]] = {}
        self._decoded: dict[str, Repodata] = {}
        self._opened: dict[tuple[str, str], OpenRepository] = {}
        self._told: set[str] = set()

    def trust(self, recipe: Recipe) -> Trust:
        """Whose packages may be installed.

        Raises:
            VerifyError: a key file is none.
        """
        return Trust.of(self.sources.repo_keys, recipe.keys, self.sources.lock_keys)

    def locations(self, recipe: Recipe) -> tuple[Location, ...]:
        """Where packages of `recipe` come from: what was added, then what was chosen or its own.

        A repository that is named twice counts where it is named first.

        Raises:
            UsageError: the mirrors that the caller chose cannot be put under its own.
        """
        own = self.own_locations(recipe)
        named: dict[str, Location] = {}
        for one in (*self.sources.added, *(self.sources.repositories or own)):
            named.setdefault(one.name, one)
        return tuple(named.values())

    def own_locations(self, recipe: Recipe) -> tuple[Location, ...]:
        """The platform's own repositories, read from the mirrors that the caller chose.

        Raises:
            UsageError: the mirrors cannot be put under them.
        """
        return self.sources.own_locations(recipe.repositories)

    def files(self, recipe: Recipe) -> tuple[RepodataFile, ...]:
        """The repodata of the repositories of `recipe`, as it was when first asked for.

        Raises:
            FetchError: a repository cannot be read, or none has anything for the architecture.
            PackageError: every mirror of a repository has a damaged index.
            VerifyError: every mirror of a repository names a key that is not trusted, or has older
                packages than it had when it was used before.
        """
        key = (self.locations(recipe), recipe.arch)
        if key not in self._files:
            for text in [text for one in key[0] for text in old_name_warnings(one)]:
                self._warn_once(text)
            trust = self.trust(recipe)
            self._checks[key] = lambda at: partial(self._judge, at, recipe.arch, trust)
            self._files[key] = fetch_repodata(self.fetcher, *key, self._checks[key])
            self._tell_of_empty(key[0], recipe)
            for file in self._files[key]:
                compare_with_seen(
                    file,
                    recipe.arch,
                    self.cache,
                    self._listener,
                    refuse=self.sources.require_newer,
                )
        return self._files[key]

    def _tell_of_empty(self, locations: tuple[Location, ...], recipe: Recipe) -> None:
        """A repository or mirror that somebody named is not passed over in silence.

        Of those of `-r` it is normal that each is for some of the platforms of a run only.
        """
        arch = recipe.arch
        found = {file.location.name for file in self._files[locations, arch]}
        named = {one.name for one in self.sources.added}
        chosen = {one.name for one in self.sources.repositories}
        if self.sources.mirrors:
            named |= {one.name for one in self.own_locations(recipe)}
        for one in locations:
            if one.name in (named | chosen) - found:
                text = f"{one.place} has nothing for {arch}: it has no file {arch}-repodata"
                self._listener(Message("warning" if one.name in named else "note", text))

    def _warn_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._listener(Message("warning", text))

    def _judge(
        self, location: Location, arch: str, trust: Trust, content: bytes, where: str
    ) -> None:
        """Decode an index as it comes, which takes a second, and keep what is in it."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self._seen.is_last(location, arch, sha256):
            return  # it was judged when it was opened, and will be if it is opened again
        repodata = Repodata.decode(content, where)
        require_arch(repodata, arch, where)
        trust.require(None if repodata.meta is None else repodata.meta.key, where)
        try:
            self._seen.require_not_older(location, arch, repodata.index, where)
        except VerifyError as error:
            if not self.sources.allow_older:
                raise
            self._listener(Message("warning", f"taken as asked for: {error.sentence}"))
        self._decoded[sha256] = repodata

    def open(self, recipe: Recipe) -> tuple[OpenRepository, ...]:
        """The repositories of `recipe`, decoded; each names a trusted key.

        Raises:
            FetchError: a repository cannot be read.
            PackageError: an index is malformed.
            VerifyError: a repository is unsigned or its key is not trusted.
        """
        trust = self.trust(recipe)
        places = {location.name: location for location in self.locations(recipe)}
        found = []
        for file in self.files(recipe):
            key = (file.location.name, recipe.arch)
            if key not in self._opened:
                known = self._decoded.pop(file.sha256, None)
                one = open_repository(file, recipe.arch, trust, known)
                self.keep_key(one.key)
                if file.location.remote:
                    place = places[file.location.name]
                    self._seen.remember(place, recipe.arch, file.sha256, one.repository.index)
                self._opened[key] = one
            trust.require(self._opened[key].key, file.location.place)
            found.append(self._opened[key])
        return tuple(found)

    @property
    def opened(self) -> tuple[OpenRepository, ...]:
        """All repositories that were opened so far."""
        return tuple(self._opened.values())

    def keep_key(self, key: PublicKey) -> None:
        """Keep the public key, so that a lock can be used without its repository's index."""
        path = self.cache.part("keys", key.fingerprint)
        if not path.exists():
            self.cache.write_small(key.plist(), "keys", key.fingerprint)

    def changed(self) -> tuple[str, ...]:
        """The names of repositories whose repodata is no longer the one that was read."""
        if self.sources.offline:
            return ()
        names = []
        for (locations, arch), before in self._files.items():
            known = {file.location.name: file.sha256 for file in before}
            try:
                # judged as then, or a mirror that was left would be taken for a change
                now = fetch_repodata(self.fetcher, locations, arch, self._checks[locations, arch])
            except (FetchError, PackageError, VerifyError) as error:
                self._listener(Message("warning", f"cannot tell whether it changed: {error}"))
                continue
            later = {file.location.name: file.sha256 for file in now}
            names += [f"{name} ({arch})" for name in known if later.get(name) != known[name]]
        return tuple(names)

    def require_unchanged(self, because: VoidimgError | None = None) -> None:
        """Report repositories that changed since they were read.

        Args:
            because: the failure that made us ask: a changed repository explains it.

        Raises:
            FetchError: one changed, and that is the cause of a failure or not accepted.
        """
        names = self.changed()
        if not names:
            return
        what = f"changed since its index was read: {', '.join(names)}"
        if because is not None or self.sources.require_consistent:
            raise FetchError(
                f"a repository {what}" + (f"; then: {because}" if because is not None else ""),
                code="CHANGED",
                where=names[0],
                hint="run it again, when the repository is not being updated",
            ) from because
        for name in names:
            if name not in self._told:
                self._told.add(name)
                text = f"{name} changed since its index was read; all packages are of the old state"
                self._listener(Message("warning", text))
