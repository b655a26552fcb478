"""Folders that one run at a time writes to."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ptycho_torch.errors import OutputError
from ptycho_torch.storage.writing import LOCK_NAME, make_folder

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other runs from a folder, which is created if it does not exist; the kernel ends the lock of a lost process.

    Raises:
        OutputError: another run writes to the folder, or it cannot be written.
    """
    lock = FileLock(folder / LOCK_NAME, blocking=False)
    try:
        make_folder(folder)
        lock.acquire()
    except Timeout as error:
        raise OutputError(f"{folder}: another run writes to it; wait for its end, or name another folder") from error
    except NotImplementedError:
        _log.warning("%s: its file system has no locks; make sure that no other run writes to it", folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        (folder / LOCK_NAME).unlink(missing_ok=True)
        lock.release()
