"""Settings in files that a program wrote: names that are unknown here are left out with a warning."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.config.fields import Settings

_log = logging.getLogger(__name__)

_MOST_NAMED = 5
_LONGEST_NAME = 60
SECTIONS: dict[str, type[Settings]] = {
    section.name: section.default_factory  # type: ignore[misc]
    for section in dataclasses.fields(Experiment)
}


def keep_known(
    settings: Mapping[str, Any], place: object, sections: Mapping[str, type[Settings]] = SECTIONS
) -> dict[str, Any]:
    """Keep the sections and settings that this version has, and warn of the others in one line.

    Args:
        settings: values by section; what is no mapping stays as it is, for the check that follows.
        place: the file, for the warning.
        sections: the sections by name.
    """
    kept, unknown = {}, []
    for name, values in settings.items():
        if name not in sections:
            unknown.append(name)
            continue
        known = sections[name].find_types()
        kept[name] = values
        if isinstance(values, Mapping):
            kept[name] = {key: value for key, value in values.items() if key in known}
            unknown += [f"{name}.{key}" for key in values if key not in known]
    if unknown:
        shown = ", ".join(repr(str(name)[:_LONGEST_NAME]) for name in unknown[:_MOST_NAMED])
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        _log.warning("%s: has settings that this version does not know, which are left out: %s%s", place, shown, more)
    return kept
