"""Doctor: what is in the file of a scan, what is wrong with how it is read, and the settings that would be right."""

from ptycho_torch.doctor.diagnosis import Diagnosis, Finding
from ptycho_torch.doctor.examine import examine_file

__all__ = ["Diagnosis", "Finding", "examine_file"]
