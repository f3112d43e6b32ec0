"""Models of the Hugging Face hub: `hf:owner/name` or `hf:owner/name@revision` as a model folder in the hub's cache.

Only files of the kinds that a model folder holds are fetched: no pickles, no code, nothing in folders. Without a network the
cache is used.
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
"""Of the files of a model folder (`multigen.storage.model_folder.write_model`)."""
OTHERS = ["*/*", "*[! -~]*"]
"""What is in folders, and names that a model folder never has, which the library would print beside its progress."""
FORM = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+(/[\w.-]+)*))?")


def fetch(name: str) -> Path:
    """The model folder of `name`, in the cache, downloaded where it is not there yet.

    Raises:
        ConfigError: a name of another form.
        CheckpointError: no such repository or revision, one that may not be read, no network, or no model of multigen.
    """
    form = FORM.fullmatch(name)
    if not form or ".." in name:
        raise ConfigError(f"{name}: expected hf:OWNER/NAME, or hf:OWNER/NAME@REVISION")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError

    repo = form["repo"]
    try:
        # The configuration alone first: of a foreign repository nothing else is fetched.
        folder = Path(
            snapshot_download(repo, revision=form["revision"], allow_patterns="config.json", ignore_patterns=OTHERS)
        )
        _check(folder, name)
        # From here on by the commit, so that two versions are not mixed.
        try:
            asked = {"revision": folder.name, "allow_patterns": PATTERNS, "ignore_patterns": OTHERS}
            files = [f for f in snapshot_download(repo, dry_run=True, **asked) if f.will_download]
            if files:
                say(
                    f"{name}: downloading {counted(len(files), 'files')}, {sum(f.file_size or 0 for f in files) / 1e6:,.1f} MB"
                )
        except DryRunError:  # no network
            pass
        return Path(snapshot_download(repo, **asked))
    except CheckpointError:
        raise
    except Exception as error:  # whatever a network does: the library passes on its HTTP client's errors too
        raise CheckpointError(f"{name}: {_reason(error)}") from error


def files_folder(folder: Path) -> Path:
    """The folder that all files of a model folder must be in, once links are followed: itself, but in the hub's cache, where
    models--OWNER--NAME/snapshots/REVISION has links to ../../blobs, that of the repository."""
    place = Path(os.path.realpath(folder))
    cached = place.parent.name == "snapshots" and place.parents[1].name.startswith("models--")
    return place.parents[1] if cached else place


def _check(folder: Path, name: str) -> None:
    """Raises CheckpointError where the configuration is none of multigen's."""
    try:
        about = read_json(folder / "config.json", CONFIG, inside=files_folder(folder))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or not {"method", "config"} <= about.keys():
        raise CheckpointError(
            f"{name} holds no model of multigen: it has no config.json that names a method; give another repository"
        )


def _reason(error: Exception) -> str:
    """What went wrong and what to do, in one line."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "it is gated; request access on its page, then run: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private; check the name, or log in: hf auth login"
    if isinstance(error, errors.RevisionNotFoundError):
        return "there is no such revision; check what stands behind the @, or leave it out"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the hub cannot be reached, and it is not in the cache; connect to a network once, or copy the model folder here"
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"it cannot be downloaded ({first}); try again, or copy the model folder here"
