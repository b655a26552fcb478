"""The command line of a job, and how it goes on with what an earlier attempt has left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ptycho_torch.errors import OutputError
from ptycho_torch.jobs.job import Job
from ptycho_torch.runtime.run_record import read_record

_RESUME, _OVERWRITE = "--resume", "--overwrite"


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """A checked command line.

    Attributes:
        words: the words, without the program's name.
        record: the record of the run that it leaves, relative to the folder of the job; None if it leaves none.
        output: the only file or folder that it writes if it leaves no record of a run, likewise.
        can_resume: whether it has an option to go on with a run.
        can_overwrite: whether it has an option to replace what exists.
    """

    words: tuple[str, ...]
    record: Path | None = None
    output: Path | None = None
    can_resume: bool = False
    can_overwrite: bool = False

    def continue_words(self, job: Job) -> tuple[str, ...] | None:
        """The words that go on with what an earlier attempt has left; None if it has finished and nothing is left.

        What others have written, such as a run that was made by hand with the same words, is left as it is; the command
        refuses to write there. A run that can be resumed is resumed although it has finished, for a signal may have
        ended it early.
        """
        earlier = self._find_record(job)
        if earlier is not None and self.can_resume:
            return self._add(_RESUME)
        if earlier is not None and earlier.get("status") == "finished":
            return None
        if (earlier is not None or self._has_output(job)) and self.can_overwrite:
            return self._add(_OVERWRITE)
        return self.words

    def _add(self, option: str) -> tuple[str, ...]:
        return self.words if option in self.words else (*self.words, option)

    def _find_record(self, job: Job) -> dict[str, Any] | None:
        """The record of a run that an earlier attempt of the job has left; None if there is none."""
        if self.record is None or job.process is None or job.started is None:
            return None
        path = job.folder / self.record
        try:
            record = read_record(path.parent, path.name)
            begun = datetime.fromisoformat(str(record.get("started"))).timestamp()
        except (OutputError, ValueError, OverflowError):
            return None
        own = list(self.words)
        is_own = record.get("arguments") in (own, [*own, _RESUME], [*own, _OVERWRITE])
        # the record states whole seconds
        return record if is_own and begun >= int(job.started) else None

    def _has_output(self, job: Job) -> bool:
        """Whether an earlier attempt, which was ended from outside, has written its file."""
        if self.output is None or job.process is None or job.started is None or job.exit_code is not None:
            return False
        try:
            return (job.folder / self.output).stat().st_mtime >= int(job.started)
        except OSError:
            return False
