"""The life cycle of trained networks: register, compare, promote, roll back, check."""

from ptycho_torch.registry.comparison import Comparison as Comparison
from ptycho_torch.registry.comparison import compare_networks as compare_networks
from ptycho_torch.registry.health import Health as Health
from ptycho_torch.registry.health import check_version as check_version
from ptycho_torch.registry.manifest import Manifest as Manifest
from ptycho_torch.registry.promotion import find_seen as find_seen
from ptycho_torch.registry.promotion import load_version as load_version
from ptycho_torch.registry.promotion import promote as promote
from ptycho_torch.registry.promotion import roll_back as roll_back
from ptycho_torch.registry.reference import Reference as Reference
from ptycho_torch.registry.registry import Registry as Registry
from ptycho_torch.registry.registry import locate_network as locate_network
from ptycho_torch.registry.version import Version as Version
