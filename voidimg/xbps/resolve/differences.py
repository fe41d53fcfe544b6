"""Where voidimg deliberately does other than the recorded xbps 0.60.7, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One deliberate difference. `rows` are the recorded dry runs that show it."""

    name: str
    tool: str
    ours: str
    why: str
    rows: tuple[str, ...] = ()


RESOLVER = (
    Difference(
        "order",
        "keeps the order of requests, so a request can come before one it depends on",
        "orders by dependencies, in the order a package lists them; requests go by name",
        "scripts must find what they need, and equal recipes must give equal bytes",
        (
            "order-args",
            "order-args3",
            "order-two",
            "dep-then-request",
            "virtual-later-in-plan",
            "shlib-with-request",
        ),
    ),
    Difference(
        "cycles",
        "breaks a cycle of dependencies where the request entered it",
        "keeps a cycle together and breaks it where the first request, by name, enters it",
        "equal recipes must give equal bytes, however their requests are listed",
        ("cycle-4", "cycle-5"),
    ),
    Difference(
        "contradiction",
        "of two versions that are demanded, installs the higher without a word",
        "takes a version that meets all demands, or refuses and names them",
        "a package would run with a version that it excludes",
        ("both", "both-rev"),
    ),
    Difference(
        "provider",
        "picks a provider at once, even if a later dependency names another",
        "picks a provider only if nothing that is needed anyway provides the name",
        "fewer packages, and no dependence on the order of dependencies",
        ("two-v",),
    ),
    Difference(
        "replaces",
        "drops a package that another one of the transaction replaces, also a requested one",
        "refuses if both are asked for; else leaves out the dependency, or refuses if it is needed",
        "what was asked for must not be missing in silence",
        ("replace-in-plan", "replace-in-plan-dep"),
    ),
    Difference(
        "replaces-installed",
        "removes a replaced package that an installed one still needs",
        "refuses",
        "the tree would be left with an unmet dependency",
        ("replace-needed",),
    ),
    Difference(
        "conflict-provider",
        "a package that conflicts with a name it provides finds only itself",
        "compares it with every other provider",
        "the conflict is meant for the others",
        ("conflict-prov",),
    ),
    Difference(
        "conflict-held",
        "does not see a conflict with a held package",
        "refuses",
        "holding a package does not make it compatible",
        ("conflict-installed-hold",),
    ),
    Difference(
        "virtualpkg",
        "lets virtualpkg= meet a dependency by a package that does not provide the name",
        "ignores such a line for dependencies",
        "the dependency would stay unmet",
        ("vpkg-conf-nonprovider",),
    ),
    Difference(
        "architecture",
        "installs a package of any architecture that the index lists",
        "refuses all but the target's and noarch",
        "it could not run",
        ("foreign-arch-entry",),
    ),
    Difference(
        "shlibs-elsewhere",
        "refuses because of a library that an installed package lacked before",
        "checks the libraries of chosen packages and those that the change takes away",
        "what was broken before is not the doing of this transaction",
        ("shlib-preexisting-broken",),
    ),
    Difference(
        "depth",
        "gives up on chains of more than 512 dependencies",
        "follows chains of any length",
        "nothing speaks against them",
        ("deep-514-packages",),
    ),
    Difference(
        "space",
        "compares installed sizes with the free space of the root's file system",
        "leaves that to the plan of the build",
        "resolving knows no disk",
        ("disk-space",),
    ),
    Difference(
        "request-installed",
        "updates an installed package that is requested, if it can",
        "keeps it as long as it meets what is demanded",
        "a second stage must not change the tree of the first",
        ("installed-newer-available",),
    ),
    Difference(
        "unpacked",
        "configures an installed dependency that is only unpacked",
        "leaves that to the installer",
        "the resolver plans packages, not states",
        ("dep-unpacked",),
    ),
    Difference(
        "xbps-first",
        "refuses everything while xbps itself could be updated",
        "does not treat xbps differently",
        "voidimg is not the xbps of the tree",
        ("xbps-autoupdate",),
    ),
    Difference(
        "repolock",
        "does not let a provider stand in for a package that is locked to its repository",
        "does, if a package that is needed provides the name",
        "the lock says where the package may come from, not who may provide its name",
        ("repolock-dep",),
    ),
    Difference(
        "missing",
        "names what is missing, not who needs it",
        "names the chain of needs, every candidate and why it was refused, all at once",
        "the reader can act on it",
    ),
)
"""The strict resolver against xbps-install."""

NAMES = (
    Difference(
        "big-numbers",
        "version numbers beyond 31 bits overflow a signed integer",
        "they wrap at 32 bits, unsigned",
        "the order of versions stays a total one; recorded comparisons agree",
    ),
    Difference(
        "file-names",
        "tells an architecture even of file names that are no package's",
        "takes a file name apart whole or not at all",
        "half an answer is none",
    ),
    Difference(
        "virtualpkg-twice",
        "two virtualpkg= lines for one name read an uninitialised variable",
        "the last line counts",
        "something must",
    ),
)
"""Names, versions and configuration."""

INSTALLER = (
    Difference(
        "payload",
        "unpacks whatever the archive holds, listed or not, without looking at its hash",
        "unpacks exactly what the file list names, each file with the listed kind and SHA256",
        "the list is what later checks and removals go by",
        (
            "evil/dup-entry",
            "evil/hash-mismatch",
            "evil/missing-payload",
            "evil/sym-then-file",
            "evil/unlisted",
        ),
    ),
    Difference(
        "member-names",
        "skips members whose names do not begin with a dot, and takes metadata that comes late",
        "refuses the package",
        "xbps-create makes no such package; it is damaged or hostile",
        (
            "evil/absolute",
            "evil/dotname",
            "evil/files-before-props",
            "evil/late-install",
            "evil/noprefix",
        ),
    ),
    Difference(
        "special-files",
        "makes devices and FIFOs",
        "refuses the package",
        "they belong to /dev, which no package brings",
        ("evil/chardev", "evil/fifo"),
    ),
    Difference(
        "own-links",
        "deletes a link that a package brought when a later member lies below it, having removed"
        " or changed a file of the host behind it",
        "refuses a package with a path below a link or file of the same transaction",
        "nothing outside of the tree may be touched",
        (
            "evil/sym-through-abs",
            "evil/sym-through-chmod",
            "evil/sym-through-delete",
            "evil/sym-through-rel",
        ),
    ),
    Difference(
        "parent-links",
        "deletes a link in the place of a parent directory and makes a directory",
        "follows a relative link to a directory inside the tree, refuses every other one",
        "a merged /usr must survive a package with ./bin",
        ("bin-symlink-broken", "dir-is-symlink"),
    ),
    Difference(
        "database",
        "lets a package overwrite the package database",
        "refuses a package with a path, or a link of alternatives, in var/db/xbps other than keys/"
        " and the link of xbps-triggers",
        "the database says what is installed; only the installer writes it",
        ("evil/db-overwrite",),
    ),
    Difference(
        "index",
        "believes the index, which nobody signed: scripts, alternatives, architecture, names",
        "refuses an entry that says anything else than the package itself",
        "whoever serves the index could run scripts of his own as root",
        (
            "evil-index/foreign-arch",
            "evil-index/foreign-arch-local",
            "evil-index/inject-alternatives",
            "evil-index/inject-alternatives-local",
            "evil-index/inject-script",
            "evil-index/inject-script-local",
            "evil-index/key-mismatch",
            "evil-index/key-mismatch-local",
        ),
    ),
    Difference(
        "trust",
        "checks signatures of remote packages only, hashes of local packages only",
        "both are checked always, and an index with half a key is refused",
        "a copied repository deserves no more trust than a served one",
        (
            "evil-index/incomplete-meta-local",
            "evil-index/no-sha",
            "signatures/badindexsha",
            "signatures/nosig-local",
        ),
    ),
    Difference(
        "unrun-scripts",
        "marks packages installed whose scripts it was told not to run",
        "leaves them unpacked",
        "xbps-reconfigure -a in the running system then ends the work",
        ("install-target-same",),
    ),
    Difference(
        "download-only",
        "keeps what it only downloads inside the tree and writes an empty package database there",
        "brings the same files into the cache of the build; the tree is not touched",
        "a download installs nothing, so it has nothing to write into a tree",
        ("remote-download-only",),
    ),
    Difference(
        "alternatives-winner",
        "of a removed package with several groups, looks for the links of the second and later"
        " ones in the package that won the first, and leaves what it does not find there",
        "takes away the links of every group of the removed package, then lets the next provider"
        " of each group win it",
        "links would stay that lead nowhere",
    ),
    Difference(
        "pkgname",
        "adds pkgname to the entries that it read when a run changes the database",
        "the same, and also in a run that finds nothing to do",
        "a database that was read and written has one form; the key says nothing new",
    ),
    Difference(
        "transaction",
        "leaves the number of the step, transaction, in the entries of packages that it only"
        " configures",
        "writes no such key",
        "it is a note of a run, not a property of a package; xbps-pkgdb takes it out again",
    ),
    Difference(
        "build-date",
        "copies build-date, which indexes made before 2020 have, into the package database",
        "leaves it out",
        "no package has it: a tree made from a lock, without an index, must have equal bytes",
    ),
    Difference(
        "linked-links",
        "makes one inode of symlinks that were hard links of one another",
        "makes a symlink of each",
        "the text is all there is to a symlink",
    ),
    Difference(
        "alternatives-outside",
        "makes links of alternatives outside of the tree",
        "refuses the package",
        "nothing outside of the tree may be touched",
    ),
)
"""The installer against xbps-install. `rows` are recorded scenarios that xbps lets pass."""

DIFFERENCES = NAMES + RESOLVER + INSTALLER
"""All of them, for the documentation."""
