"""XBPS: names, packages, repositories, the resolver, the package database and the installer."""
