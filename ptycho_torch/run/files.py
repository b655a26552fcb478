"""Files of configurations from outside: read as plain values before Hydra sees them."""

from __future__ import annotations

from pathlib import Path

from ptycho_torch.cli.config_file import parse_yaml
from ptycho_torch.errors import ConfigError
from ptycho_torch.storage.untrusted import explain_damage

_MOST_FILES = 1000


def check_files(folder: Path) -> None:
    """Check that every file of configurations in a folder is plain YAML that leaves Hydra's own settings alone.

    Raises:
        ConfigError: the folder does not exist, or a file is not plain YAML or changes Hydra's own settings.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is not a folder of configurations")
    files = sorted({*folder.rglob("*.yaml"), *folder.rglob("*.yml")})
    if len(files) > _MOST_FILES:
        raise ConfigError(f"{folder}: contains {len(files)} YAML files; at most {_MOST_FILES} are read")
    for path in files:
        content = parse_yaml(path)
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: must be a mapping of settings")
        with explain_damage(path, "file of UTF-8 text", ConfigError), path.open(encoding="utf-8") as file:
            packages = [line for line in file if line.lstrip().startswith("#") and "@package" in line]
        if any("hydra" in line for line in packages) or "hydra" in content:
            raise ConfigError(f"{path}: changes settings of Hydra itself, which is not supported")
