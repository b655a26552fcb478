"""The settings of the project; this folder needs the standard library only."""

from ptycho_torch.config.schema import DataSettings as DataSettings
from ptycho_torch.config.schema import Experiment as Experiment
from ptycho_torch.config.schema import InferenceSettings as InferenceSettings
from ptycho_torch.config.schema import ModelSettings as ModelSettings
from ptycho_torch.config.schema import RefineSettings as RefineSettings
from ptycho_torch.config.schema import SimulationSettings as SimulationSettings
from ptycho_torch.config.schema import TrainerSettings as TrainerSettings
from ptycho_torch.config.schema import TrainingSettings as TrainingSettings
