"""Who started the processes that work together, as Lightning tells it, which takes seconds to load."""

from __future__ import annotations

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed

from ptycho_torch.errors import ConfigError

__all__ = ["LightningEnvironment", "find_scheduler"]


def find_scheduler() -> ClusterEnvironment | None:
    """Find who started this process: torchrun, Slurm, LSF, MPI; None if nobody of these did.

    Raises:
        ConfigError: a job is set up in a way that cannot work.
    """
    if distributed.is_torchelastic_launched():
        return TorchElasticEnvironment()
    kinds: tuple[type[ClusterEnvironment], ...] = (SLURMEnvironment, LSFEnvironment, MPIEnvironment)
    for kind in kinds:
        if kind.detect():
            try:
                # a run that was interrupted is resumed when its user asks for it
                return SLURMEnvironment(auto_requeue=False) if kind is SLURMEnvironment else kind()
            except RuntimeError as error:
                raise ConfigError(str(error)) from error
    return None
