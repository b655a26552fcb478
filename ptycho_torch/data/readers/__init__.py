"""Readers: files of measured data to scans."""

from ptycho_torch.data.readers.directory import read_one_scan as read_one_scan
from ptycho_torch.data.readers.directory import read_probe as read_probe
from ptycho_torch.data.readers.directory import read_scans as read_scans
from ptycho_torch.data.readers.directory import scan_files as scan_files
from ptycho_torch.data.readers.npz import read_npz as read_npz
from ptycho_torch.data.readers.workflow_directory import read_workflow_directory as read_workflow_directory
