"""The life cycle of trained networks: register, compare, promote, roll back, check."""

from ptycho_torch.registry.manifest import Manifest as Manifest
from ptycho_torch.registry.reference import Reference as Reference
from ptycho_torch.registry.registry import Registry as Registry
from ptycho_torch.registry.version import Version as Version
