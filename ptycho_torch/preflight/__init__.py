"""Checks of trainings before they start: what is true on this machine, and what only their own machine can show."""

from ptycho_torch.preflight.check import check_all as check_all
from ptycho_torch.preflight.plan import Plan as Plan
from ptycho_torch.preflight.report import Report as Report
from ptycho_torch.preflight.report import require_passed as require_passed
