"""Models on the Hugging Face hub: downloads `hf:owner/name` or `hf:owner/name@revision` to a model
folder in the hub's cache.

Only kinds of files that a model folder has are downloaded: no pickles, no code, no subfolders.
Without a network, the cache is used.
"""

import os
import re
from pathlib import Path

from multigen.console import counted, say
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.files import read_json
from multigen.storage.reading import CONFIG

__all__ = ["PREFIX", "fetch", "files_folder"]

PREFIX = "hf:"
PATTERNS = ["*.json", "*.safetensors", "README.md"]
"""Files of a model folder (`multigen.storage.model_folder.write_model`)."""
OTHERS = ["*/*", "*[! -~]*"]
"""Files in subfolders, and names with characters that a model folder never has, which the library
would print with its progress."""
FORM = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+(/[\w.-]+)*))?")


def fetch(name: str) -> Path:
    """The model folder of `name` in the cache, downloaded if missing.

    Raises:
        ConfigError: a name of another form.
        CheckpointError: the repository or revision does not exist, is not accessible, or is not a
            multigen model, or there is no network.
    """
    form = FORM.fullmatch(name)
    if not form or ".." in name:
        raise ConfigError(f"{name}: expected hf:OWNER/NAME, or hf:OWNER/NAME@REVISION")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError

    repo = form["repo"]
    try:
        # The configuration first: nothing else is downloaded from a repository that is not a
        # multigen model.
        folder = Path(
            snapshot_download(repo, revision=form["revision"], allow_patterns="config.json", ignore_patterns=OTHERS)
        )
        _check(folder, name)
        # From here on by commit, so that two versions are not mixed.
        try:
            options = {"revision": folder.name, "allow_patterns": PATTERNS, "ignore_patterns": OTHERS}
            files = [f for f in snapshot_download(repo, dry_run=True, **options) if f.will_download]
            if files:
                say(
                    f"{name}: downloading {counted(len(files), 'files')}, {sum(f.file_size or 0 for f in files) / 1e6:,.1f} MB"
                )
        except DryRunError:  # no network
            pass
        return Path(snapshot_download(repo, **options))
    except CheckpointError:
        raise
    except Exception as error:  # network errors: the library passes on its HTTP client's errors too
        raise CheckpointError(f"{name}: {_reason(error)}") from error


def files_folder(folder: Path) -> Path:
    """The folder that must contain all files of a model folder, once links are followed: the folder
    itself; in the hub's cache, where models--OWNER--NAME/snapshots/REVISION links to ../../blobs,
    the repository's folder."""
    real_path = Path(os.path.realpath(folder))
    in_hub_cache = real_path.parent.name == "snapshots" and real_path.parents[1].name.startswith("models--")
    return real_path.parents[1] if in_hub_cache else real_path


def _check(folder: Path, name: str) -> None:
    """Raises CheckpointError where the configuration is not a multigen model's."""
    try:
        about = read_json(folder / "config.json", CONFIG, inside=files_folder(folder))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or not {"method", "config"} <= about.keys():
        raise CheckpointError(
            f"{name} is not a multigen model: it has no config.json that names a method; choose another repository"
        )


def _reason(error: Exception) -> str:
    """The reason and the remedy, in one line."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "it is gated; request access on its page, then run: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private; check the name, or log in: hf auth login"
    if isinstance(error, errors.RevisionNotFoundError):
        return "there is no such revision; check the name after the @, or omit it"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the hub cannot be reached, and it is not in the cache; connect to a network once, or copy the model folder here"
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"it cannot be downloaded ({first}); try again, or copy the model folder here"
