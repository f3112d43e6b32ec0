"""Which tokenizer a corpus has: made of its texts, a pretrained model's, or that of the model that
training starts from."""

from multigen.errors import ConfigError, DataError
from multigen.storage.model_folder import find_model, read_model
from multigen.text.networks.pretrained import model_folder_of
from multigen.text.tokenizers import Tokenizer, read_tokenizer

__all__ = ["given_tokenizer", "open_tokenizer"]


def open_tokenizer(kind: str, texts: list[str], size: int, data: str) -> Tokenizer:
    """The tokenizer that a setting means: one of a kind, made of texts, or a pretrained one. Raises
    ConfigError and DataError; `data` names the texts."""
    if kind in ("words", "characters", "bpe"):
        try:
            return Tokenizer.train(texts, kind, size)
        except DataError as error:
            raise DataError(f"{data}: {error}") from error
    if (folder := model_folder_of(kind)) is None:
        return Tokenizer.pretrained(kind)
    if (tokenizer := read_tokenizer(folder)) is None:
        raise ConfigError(f"{folder}: its tokenizer.json is missing; import the model again, or copy the whole folder")
    return tokenizer


def given_tokenizer(tokenizer: str, start: str) -> Tokenizer | None:
    """The tokenizer of the model `start` (--from); None without one. Raises ConfigError where
    `tokenizer` names another kind."""
    if not start:
        return None
    folder = find_model(start)
    pretrained, trained = read_tokenizer(folder), read_model(folder, ()).config
    kind = pretrained.kind if pretrained and pretrained.kind != "pretrained" else ""
    used = trained.get("tokenizer") or trained.get("pretrained") or kind or "words"
    if (tokenizer or used) != used:
        raise ConfigError(
            f"tokenizer {tokenizer!r}: {folder} was trained with {used!r}; give --tokenizer {used}, or start from another "
            "model"
        )
    return pretrained
