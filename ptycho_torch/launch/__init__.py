"""Launchers: runs on a cluster or a service, each a process of its own that first checks the machine it is on."""
