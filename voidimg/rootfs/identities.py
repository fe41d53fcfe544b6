"""What must be different on every machine: one table, for the clean-up of trees and for `lint`.

Machines that share a key can be impersonated by one another; those that share an identifier are
taken for each other; a seed that all copies share is no seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import Literal

IdentityKind = Literal["host key", "identity", "seed", "secret"]


@dataclass(frozen=True, slots=True)
class MachineIdentity:
    """Files at `pattern` that only one machine may have; `*` crosses slashes.

    `of` is the program that they belong to. What is `made_anew` is made by it at the next start,
    so it is taken out of trees; the rest may be there because a profile brings it on purpose, and
    is only told of. Files as their package has them are none.
    """

    pattern: str
    kind: IdentityKind
    of: str
    made_anew: bool = True

    @property
    def is_unique(self) -> bool:
        """Whether no two machines can have the same content by chance."""
        return self.made_anew and (self.kind in ("host key", "seed") or self.pattern in _RANDOM)

    @property
    def reason(self) -> str:
        """Why it must not be in an image."""
        return f"{self.kind} of {self.of}: {_WHY[self.kind]}"


_WHY: dict[IdentityKind, str] = {
    "host key": "each machine makes its own keys",
    "identity": "each machine makes its own",
    "seed": "a seed that all copies share is no seed",
    "secret": "all machines would share it",
}

_RANDOM = frozenset(
    {
        *("/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostid"),
        *("/etc/iscsi/initiatorname.iscsi", "/etc/nvme/host*", "/etc/dhcpcd.secret"),
        "/var/lib/docker/engine-id",
    }
)
"""Of the identities those that are random; the others follow from addresses, clocks and leases."""

IDENTITIES: tuple[MachineIdentity, ...] = (
    MachineIdentity("/etc/machine-id", "identity", "D-Bus and elogind"),
    MachineIdentity("/var/lib/dbus/machine-id", "identity", "D-Bus"),
    MachineIdentity("/etc/hostid", "identity", "the C library, ZFS and others"),
    MachineIdentity("/etc/ssh/ssh_host_*", "host key", "OpenSSH"),
    MachineIdentity("/etc/dropbear/dropbear_*_host_key*", "host key", "Dropbear"),
    MachineIdentity("/etc/dropbear/*_host_key*", "host key", "Dropbear"),
    MachineIdentity("/etc/initcpio/*_host_key*", "host key", "an initramfs"),
    MachineIdentity("/etc/tinyssh/sshkeydir/*", "host key", "TinySSH"),
    MachineIdentity("/etc/lsh_host_key*", "host key", "lsh"),
    MachineIdentity("/etc/iscsi/initiatorname.iscsi", "identity", "iSCSI"),
    MachineIdentity("/etc/nvme/host*", "identity", "NVMe over fabrics"),
    MachineIdentity("/etc/dhcpcd.duid", "identity", "dhcpcd"),
    MachineIdentity("/etc/dhcpcd.secret", "identity", "dhcpcd"),
    MachineIdentity("/var/db/dhcpcd/*", "identity", "dhcpcd, with leases of the builder"),
    MachineIdentity("/var/lib/dhcpcd/*", "identity", "dhcpcd, with leases of the builder"),
    MachineIdentity("/var/lib/dhclient/*", "identity", "dhclient, with leases of the builder"),
    MachineIdentity("/var/lib/dhcp/*", "identity", "dhclient, with leases of the builder"),
    MachineIdentity("/var/lib/NetworkManager/secret_key", "seed", "NetworkManager"),
    MachineIdentity("/var/lib/NetworkManager/seen-bssids", "identity", "NetworkManager"),
    MachineIdentity("/var/lib/NetworkManager/timestamps", "identity", "NetworkManager"),
    MachineIdentity("/var/lib/NetworkManager/*lease*", "identity", "NetworkManager"),
    MachineIdentity("/var/lib/connman/*", "identity", "ConnMan"),
    MachineIdentity("/var/lib/random-seed", "seed", "runit"),
    MachineIdentity("/var/lib/seedrng/*", "seed", "seedrng"),
    MachineIdentity("/var/lib/systemd/random-seed", "seed", "systemd"),
    MachineIdentity("/var/lib/urandom/*", "seed", "init scripts"),
    MachineIdentity("/var/lib/systemd/credential.secret", "seed", "systemd"),
    MachineIdentity("/boot/loader/random-seed", "seed", "systemd-boot"),
    MachineIdentity("/boot/efi/loader/random-seed", "seed", "systemd-boot"),
    MachineIdentity("/var/lib/chrony/drift", "identity", "chrony: the clock of another machine"),
    MachineIdentity("/var/lib/chrony/*.nts", "seed", "chrony"),
    MachineIdentity("/var/lib/ntp/*drift", "identity", "ntpd: the clock of another machine"),
    MachineIdentity("/var/lib/cloud/*", "identity", "cloud-init: it would not run again"),
    MachineIdentity("/var/lib/net-snmp/*", "identity", "snmpd: its engine id and keys"),
    MachineIdentity("/var/lib/snmp/*", "identity", "snmpd: its engine id and keys"),
    MachineIdentity("/etc/cups/ssl/*", "host key", "CUPS"),
    MachineIdentity("/var/lib/tor/*", "host key", "Tor"),
    MachineIdentity("/var/lib/syncthing/*", "host key", "Syncthing"),
    MachineIdentity("/var/lib/tailscale/*", "host key", "Tailscale"),
    MachineIdentity("/var/lib/zerotier-one/identity.*", "host key", "ZeroTier"),
    MachineIdentity("/var/lib/docker/engine-id", "identity", "Docker"),
    MachineIdentity("/var/lib/bluetooth/*", "identity", "BlueZ: pairings and their keys"),
    MachineIdentity("/var/lib/iwd/*", "secret", "iwd: networks and passphrases", made_anew=False),
    MachineIdentity("/etc/wireguard/*", "secret", "WireGuard", made_anew=False),
    MachineIdentity("/etc/krb5.keytab", "secret", "Kerberos", made_anew=False),
    MachineIdentity("/etc/chrony.keys", "secret", "chrony", made_anew=False),
    MachineIdentity("/etc/tinc/*/rsa_key.priv", "secret", "tinc", made_anew=False),
    MachineIdentity("/etc/tinc/*/ed25519_key.priv", "secret", "tinc", made_anew=False),
    MachineIdentity("/etc/openvpn/*.key", "secret", "OpenVPN", made_anew=False),
    MachineIdentity("/etc/ipsec.d/private/*", "secret", "IPsec", made_anew=False),
    MachineIdentity("/etc/swanctl/private/*", "secret", "strongSwan", made_anew=False),
    MachineIdentity("/etc/ssl/private/*", "secret", "TLS servers", made_anew=False),
    MachineIdentity("/etc/postfix/*.key", "secret", "Postfix", made_anew=False),
    MachineIdentity("/etc/dovecot/private/*", "secret", "Dovecot", made_anew=False),
    MachineIdentity("/etc/letsencrypt/*", "secret", "an ACME client", made_anew=False),
    MachineIdentity(
        "/etc/NetworkManager/system-connections/*", "secret", "NetworkManager", made_anew=False
    ),
    MachineIdentity("/etc/bind/rndc.key", "secret", "BIND", made_anew=False),
    MachineIdentity("/etc/rndc.key", "secret", "BIND", made_anew=False),
    MachineIdentity("/var/lib/unbound/*.key", "secret", "Unbound", made_anew=False),
    MachineIdentity("/root/.ssh/id_*", "secret", "root", made_anew=False),
    MachineIdentity("/home/*/.ssh/id_*", "secret", "a user", made_anew=False),
    MachineIdentity("/root/.gnupg/*", "secret", "root", made_anew=False),
    MachineIdentity("/root/.ssh/known_hosts*", "identity", "root: machines the builder knew"),
)
"""In this order; the first that matches decides."""

_ANY = re.compile("|".join(translate(one.pattern) for one in IDENTITIES))


def identity_of(path: str) -> MachineIdentity | None:
    """Which identity of a machine is at `path` of a tree; None for most paths.

    >>> identity_of("/etc/dropbear/dropbear_ed25519_host_key").kind
    'host key'
    """
    if _ANY.match(path) is None:
        return None
    return next(one for one in IDENTITIES if fnmatchcase(path, one.pattern))
