"""Places of MLflow, SQLite files and servers: connected to without reports to others, with short waits."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from ptycho_torch.errors import RegistryError, require_extra
from ptycho_torch.runtime.trackers import find_mlflow_place
from ptycho_torch.storage.untrusted import summarise_error
from ptycho_torch.storage.writing import check_writable

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE_NAME = "mlflow.db"
SQLITE = "sqlite:///"
_PASSWORD = re.compile(r"//[^/@\s]+@")
_LONGEST_REASON = 160
_PART = ".part"


@dataclass(frozen=True)
class MlflowPlace:
    """A server or a SQLite file of MLflow.

    Attributes:
        uri: its address, as MLflow takes it.
        database: the SQLite file; None for a server.
        wait_s: longest wait for an answer or for others that write.
    """

    uri: str
    database: Path | None
    wait_s: float

    @classmethod
    def find(cls, asked: str | None, wait_s: float = 10.0) -> Self:
        """Find the place that was asked for; by default MLFLOW_TRACKING_URI, or `mlflow.db` in the current folder.

        Raises:
            RegistryError: it is neither the address of a server nor a SQLite file.
            MissingExtraError: MLflow is not installed.
        """
        require_extra("the registry of models", "mlflow", "track")
        asked = asked or find_mlflow_place() or DATABASE_NAME
        if asked.startswith(("http://", "https://")):
            return cls(asked, None, wait_s)
        path = asked.removeprefix(SQLITE)
        if ":" in path.partition("/")[0]:
            raise RegistryError(
                f"{hide_password(asked)}: is not a place for models; name a server by http:// or https://, or a file "
                "for SQLite"
            )
        database = Path(path).absolute()
        return cls(f"{SQLITE}{database}", database, wait_s)

    def __str__(self) -> str:
        """The file or the address, without a password."""
        return str(self.database) if self.database else hide_password(self.uri)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers from a SQLite file; a server orders its writers by itself.

        Raises:
            RegistryError: others keep writing.
        """
        if self.database is None:
            yield
            return
        try:
            self.database.parent.mkdir(parents=True, exist_ok=True)
            check_writable(self.database.parent)
            lock = FileLock(f"{self.database}.lock")
            lock.acquire(timeout=self.wait_s)
        except Timeout as error:
            raise RegistryError(f"{self}: another process has been writing to it for {self.wait_s:g} s") from error
        except OSError as error:
            raise RegistryError(f"{self}: cannot be written ({error.strerror or error})") from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def connect(self) -> Iterator[MlflowClient]:
        """Give a client of MLflow, whose errors inside the block are explained in one line.

        Raises:
            RegistryError: the place does not exist, cannot be reached, or does not do what was asked of it.
        """
        if self.database and not self.database.is_file():
            raise RegistryError(f"{self}: does not exist; the first `ptycho-torch models register` creates it")
        with self._open() as client:
            yield client

    @contextlib.contextmanager
    def _open(self) -> Iterator[MlflowClient]:
        mlflow = _load_mlflow()
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - belongs to an extra
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - likewise

        variables = {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{max(1, round(self.wait_s))}",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }
        with set_variables(variables):
            try:
                yield mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            except (MlflowException, SQLAlchemyError) as error:
                raise RegistryError(f"{self}: {_summarise(error)}") from error

    def create_database(self) -> None:
        """Create the tables of a SQLite file that does not exist, all or none; a lock must be held.

        Raises:
            RegistryError: it cannot be created.
        """
        if self.database is None or self.database.exists():
            return
        for left in self.database.parent.glob(f".{self.database.name}.*{_PART}*"):
            left.unlink(missing_ok=True)
        part = self.database.with_name(f".{self.database.name}.{uuid.uuid4().hex}{_PART}")
        with MlflowPlace(f"{SQLITE}{part}", part, self.wait_s)._open() as client:
            client.search_registered_models(max_results=1)
        part.replace(self.database)


def hide_password(text: str) -> str:
    """A text without the user and the password of an address in it."""
    return _PASSWORD.sub("//", text)


@contextlib.contextmanager
def set_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment inside the block, unless the user has set them."""
    chosen = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            os.environ.pop(name, None)


def _load_mlflow() -> ModuleType:
    # no reports to others about the use of the library
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # noqa: PLC0415 - belongs to an extra

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # it would tell of every attempt to reach a server
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    return mlflow


def _summarise(error: Exception) -> str:
    text = hide_password(summarise_error(error))
    if "Max retries exceeded" in text or "Connection refused" in text or "timed out" in text:
        return "the server does not answer; is it running, and is the address right?"
    return text[:_LONGEST_REASON]
