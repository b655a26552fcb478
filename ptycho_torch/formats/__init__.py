"""File formats, one module each with reader, writer and a row of the table in `find`."""

from ptycho_torch.formats.find import list_scan_files as list_scan_files
from ptycho_torch.formats.find import read_one_scan as read_one_scan
from ptycho_torch.formats.find import read_scans as read_scans
from ptycho_torch.formats.npz import read_npz as read_npz
from ptycho_torch.formats.probes import read_probe as read_probe
from ptycho_torch.formats.ptychodus_folder import read_workflow_directory as read_workflow_directory
