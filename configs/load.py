"""A config file and ``key=value`` overrides to a checked :class:`Config`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import InputError
from configs.schema import Config


class ConfigError(InputError):
    """A config file or override that does not fit the schema; the message says what to do."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file and apply ``key=value`` overrides to it.

    Args:
        path: a file, or the name of a shipped config (``bazaar`` or ``configs/bazaar.yaml``).
        overrides: ``section.key=value`` strings; the value is YAML.

    Raises:
        ConfigError: for a missing file, an unknown key (the nearest one is named) or a value of another type.
    """
    file = _find(Path(path))
    schema = OmegaConf.structured(Config)
    schema.run.name = file.stem
    try:
        loaded = OmegaConf.load(file)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"{file} holds a {type(loaded).__name__}, but sections with settings were expected")
    _refuse_unknown(OmegaConf.to_container(loaded), Config, str(file))
    dotted = [_override(text) for text in overrides]
    try:
        merged = schema
        for change in (loaded, *dotted):
            merged = OmegaConf.merge(_without_replaced_mappings(merged, change), change)
        OmegaConf.resolve(merged)
        return cast(Config, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "a setting"
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{file}: {key}: {reason}; see configs/settings for its type and meaning") from error
    except ValueError as error:  # a section's own check, in its __post_init__
        raise ConfigError(f"{file}: {error}") from error


def shipped_configs() -> Path:
    """Return the folder of the configs that come with Mercato."""
    return Path(__file__).parent


def as_yaml(config: Config) -> str:
    """Return ``config`` as YAML text, every setting resolved."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _find(path: Path) -> Path:
    shipped = shipped_configs() / f"{path.stem}.yaml"
    if path.is_file():
        return path
    if shipped.is_file() and path.parent in (Path("."), Path("configs")):
        return shipped
    names = sorted(file.stem for file in shipped_configs().glob("*.yaml"))
    near = difflib.get_close_matches(path.stem, names, n=1)
    hint = f"did you mean configs/{near[0]}.yaml? " if near else ""
    raise ConfigError(f"no config file {path}; {hint}shipped configs are {', '.join(names)}")


def _without_replaced_mappings(settings: DictConfig, change: DictConfig) -> DictConfig:
    """Empty the mappings (``prepare.targets``) that ``change`` gives: they replace the default."""
    for name in change:
        for key in change[name]:
            if OmegaConf.is_dict(settings[name][key]):
                settings[name][key] = {}
    return settings


def _override(text: str) -> DictConfig:
    equals = "=" in text
    if not equals:
        raise ConfigError(f"override {text!r} has no '='; write it as section.key=value, e.g. run.seed=1")
    try:
        change = OmegaConf.from_dotlist([text])
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"override {text!r} is not valid: {error}") from error
    _refuse_unknown(OmegaConf.to_container(change), Config, f"override {text!r}")
    return change


def _refuse_unknown(found: Any, schema: type, where: str, prefix: str = "") -> None:
    """Raise for the first key of ``found`` that ``schema``, a dataclass, does not have."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold settings, got {found!r}")
    sections = {field.name: field for field in fields(schema)}
    for key, value in found.items():
        if key not in sections:
            known = _keys(schema)
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5) or _anywhere(str(key))
            hint = f"did you mean {prefix}{near[0]}?" if near and near[0] in known else ""
            hint = hint or (f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}")
            raise ConfigError(f"{where}: there is no setting {prefix}{key}; {hint}")
        default = sections[key].default_factory
        if isinstance(default, type) and is_dataclass(default):
            _refuse_unknown(value, default, where, f"{prefix}{key}.")


def _keys(schema: type) -> list[str]:
    return [field.name for field in fields(schema)]


def _anywhere(key: str) -> list[str]:
    """Return the dotted name of the nearest setting of any section."""
    dotted = {
        setting.name: f"{section.name}.{setting.name}"
        for section in fields(Config)
        for setting in fields(cast(Any, section.default_factory))
    }
    return [dotted[name] for name in difflib.get_close_matches(key, list(dotted), n=1)]
