"""Configuration: models, files, ``${NAME}``, hash, machine limits and auto-tuning."""

from __future__ import annotations

from .hash import config_hash
from .hooks import Hook
from .models import Config, HookSet, MigrationConfig, Source, Target
from .problems import InvalidConfig, Problem

config_from_dict = Config.from_dict
load_config = Config.load

__all__ = [
    "Config",
    "Hook",
    "HookSet",
    "InvalidConfig",
    "MigrationConfig",
    "Problem",
    "Source",
    "Target",
    "config_from_dict",
    "config_hash",
    "load_config",
]
