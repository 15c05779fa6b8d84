"""Settings of a search as arguments of ``explorer worker``, and names for what runs it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping
from typing import Any

from explorer.settings.settings import Setting
from explorer.study.settings import SearchSettings

# Settings that a worker takes from the study, or that concern the process that starts it.
NOT_SENT = (
    *("data", "data_dir", "precision", "limits", "study", "new_study", "seed", "storage", "artifacts", "trials"),
    *(
        "seconds",
        "workers",
        "workers_per_device",
        "engine",
        "engine_address",
        "engine_options",
        "cpus_per_trial",
        "track",
    ),
)


def spelled(values: Mapping[str, Any], left_out: Container[str] = NOT_SENT) -> list[str]:
    """Return settings as arguments of ``explorer worker``, without those that have their default.

    Args:
        values: The settings by name; those that are missing have their default.
        left_out: Names of settings that are left out.
    """
    words = []
    for each in SearchSettings.described():
        if each.name not in values or each.flag is None or each.in_fingerprint or each.name in left_out:
            continue
        value, default = values[each.name], each.default if each.command_default is None else each.command_default
        if value != default:
            words += _words(each, value)
    return words


def _words(setting: Setting, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [setting.options[0] if value else setting.options[-1]]
    if setting.kind.repeated:
        return [word for each in setting.kind.write(value) for word in (setting.options[0], str(each))]
    return [setting.options[0], setting.kind.spell(value)]


def job_name(study: str, *parts: str) -> str:
    """Return a name that is unique for a study: lower-case letters, digits and hyphens, at most 60 characters.

    Args:
        study: The study's name.
        *parts: What distinguishes studies of one name.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:40].strip("-") or "study"
    return f"explorer-{slug}-{hashlib.sha256(' '.join((*parts, study)).encode()).hexdigest()[:8]}"
