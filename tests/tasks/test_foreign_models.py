"""Model folders that somebody else made: files that are none, lead elsewhere or never end cost one
line, and no memory."""

import shutil
from pathlib import Path

import pytest

from multigen.config import to_table
from multigen.engine import checkpoint
from multigen.errors import CheckpointError, ConfigError
from multigen.image.synthesis import dcgan
from multigen.storage.hub import files_folder
from multigen.storage.model_folder import read_model, write_model
from multigen.tasks.loading import import_code
from multigen.text.networks.pretrained import load_described, load_pretrained
from multigen.text.tokenizers import Tokenizer, read_tokenizer
from tests.special import SPECIAL, replace_by

KINDS = ["a named pipe", "a socket", "a device", "a link", "too large"]
REFUSED = r"(expected a regular file|leads out of|expected at most)"


def made(folder: Path) -> Path:
    """A model folder with all kinds of files."""
    import torch

    texts = {"tokenizer.json": Tokenizer.train(["a b", "b c"], "words").to_json(), "transformer.json": "{}"}
    write_model(folder, "dcgan", to_table(dcgan.PRESETS["tiny"]), {"G": {"w": torch.zeros(2)}}, texts)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["config.json", "G.safetensors", "tokenizer.json", "transformer.json"])
def test_files_of_a_model_are_regular_and_of_bounded_size(name: str, kind: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    replace_by(kind, folder / name, tmp_path)
    with pytest.raises(CheckpointError, match=rf"{name} [^\n]*{REFUSED}[^\n]*$"):
        if name == "tokenizer.json":
            read_tokenizer(folder)
        elif name == "transformer.json":
            load_described(folder / name, 0, 9)
        else:
            read_model(folder)


def test_a_model_in_the_cache_of_the_hub_is_read_through_its_links(tmp_path: Path) -> None:
    repository = tmp_path / "models--a--b"
    plain, snapshot = made(tmp_path / "plain"), repository / "snapshots" / "1234"
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in plain.iterdir():
        shutil.move(path, repository / "blobs" / f"hash-of-{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/hash-of-{path.name}")
    assert read_model(snapshot).method == "dcgan" and read_tokenizer(snapshot) is not None
    assert files_folder(snapshot) == repository.resolve()
    (tmp_path / "elsewhere.json").write_text("{}")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(CheckpointError, match="leads out of"):
        read_model(snapshot)


def test_a_model_folder_that_is_a_link_is_a_model_folder(tmp_path: Path) -> None:
    made(tmp_path / "there")
    (tmp_path / "model").symlink_to(tmp_path / "there")
    assert read_model(tmp_path / "model").method == "dcgan" and read_tokenizer(tmp_path / "model") is not None


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_a_local_folder_for_transformers_is_checked_first(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind](tmp_path / "config.json")
    with pytest.raises(ConfigError, match=rf"config\.json: {kind}; expected a regular file"):
        load_pretrained(str(tmp_path), 0, 5, 5)
    with pytest.raises(ConfigError, match=rf"config\.json: {kind}; expected a regular file"):
        Tokenizer.pretrained(str(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["run.json", "G.safetensors"])
def test_files_of_a_checkpoint_are_as_long_as_it_says(name: str, kind: str, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "checkpoints" / "step-000000001"
    folder.parent.mkdir()
    checkpoint.write(folder, {"G": {"w": torch.zeros(2)}}, {"step": 1})
    assert checkpoint.read(folder)[1] == {"step": 1}
    replace_by(kind, folder / name, tmp_path)
    refused = rf"step-000000001 (is not a complete checkpoint \([^\n]*{REFUSED}|is damaged: G\.safetensors missing, left over)"
    with pytest.raises(CheckpointError, match=refused):
        checkpoint.read(folder)


def test_code_is_no_named_pipe(tmp_path: Path) -> None:
    SPECIAL["a named pipe"](tmp_path / "mine.py")
    with pytest.raises(ConfigError, match="no such Python file"):
        import_code(str(tmp_path / "mine.py"))
