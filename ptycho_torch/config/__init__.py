"""The settings of the project, each declared once; this folder needs the standard library only."""

from ptycho_torch.config.data import DataSettings as DataSettings
from ptycho_torch.config.drift import DriftSettings as DriftSettings
from ptycho_torch.config.experiment import Experiment as Experiment
from ptycho_torch.config.inference import InferenceSettings as InferenceSettings
from ptycho_torch.config.model import ModelSettings as ModelSettings
from ptycho_torch.config.pretraining import PretrainingSettings as PretrainingSettings
from ptycho_torch.config.refine import RefineSettings as RefineSettings
from ptycho_torch.config.registry import RegistrySettings as RegistrySettings
from ptycho_torch.config.simulation import SimulationSettings as SimulationSettings
from ptycho_torch.config.tracking import TrackingSettings as TrackingSettings
from ptycho_torch.config.trainer import TrainerSettings as TrainerSettings
from ptycho_torch.config.training import TrainingSettings as TrainingSettings
