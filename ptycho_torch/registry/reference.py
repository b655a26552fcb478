"""How a registered model is named: `NAME@ALIAS`, `NAME/VERSION` or `NAME`, all of them also after `models:/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ptycho_torch.errors import RegistryError
from ptycho_torch.storage.untrusted import abbreviate

PREFIX = "models:/"
PRODUCTION, CANDIDATE, PREVIOUS = "production", "candidate", "previous"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_REFERENCE = re.compile(rf"(?P<name>{_NAME.pattern})(?:@(?P<alias>{_NAME.pattern})|/(?P<number>[1-9][0-9]{{0,8}}))?")


@dataclass(frozen=True)
class Reference:
    """A model by name, and one of its versions by alias or number; without both, the one in production.

    Attributes:
        name: name of the model.
        alias: alias of the version; None if it is named by its number.
        number: number of the version; None if it is named by its alias.
    """

    name: str
    alias: str | None = PRODUCTION
    number: int | None = None

    @classmethod
    def parse(cls, text: str, *, alias: str = PRODUCTION) -> Self:
        """Read a reference.

        Args:
            text: the reference.
            alias: the alias that is meant if neither alias nor number is given.

        Raises:
            RegistryError: it is none.
        """
        found = _REFERENCE.fullmatch(text.removeprefix(PREFIX))
        if found is None:
            raise RegistryError(
                f"{abbreviate(text)!r} does not name a model; write NAME, NAME@ALIAS or NAME/VERSION, of letters, "
                "digits, '.', '_' and '-'"
            )
        if found["number"]:
            return cls(found["name"], None, int(found["number"]))
        return cls(found["name"], found["alias"] or alias)

    def __str__(self) -> str:
        """The reference as it is written."""
        return f"{self.name}/{self.number}" if self.alias is None else f"{self.name}@{self.alias}"


def check_name(name: str) -> None:
    """Raise RegistryError unless a model can have this name."""
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"{abbreviate(name)!r} cannot be the name of a model; it must consist of up to 80 letters, digits, '.', "
            "'_' and '-', the first a letter or a digit"
        )
