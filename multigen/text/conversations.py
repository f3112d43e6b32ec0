"""Conversations: messages of a user and an assistant in turn, as a model reads them.

    {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada."}]}

As a text of a corpus a conversation is its messages in JSON. As tokens it is ChatML: each message
is an opening token, its role, a line break, its content, an end token and a line break. The opening
token is <|im_start|> where a pretrained tokenizer has it, else the start token.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from multigen.errors import ConfigError, DataError
from multigen.text.tokenizers import Tokenizer

__all__ = [
    "OPENING",
    "Message",
    "answerable",
    "check",
    "content_of",
    "encode_answers",
    "encode_prompt",
    "parse",
    "read",
]

Message = Mapping[str, str]
"""`role`: system, user or assistant; `content`."""
OPENING = "<|im_start|>"
USER, ASSISTANT = "user", "assistant"


def read(where: str, value: Any) -> str:
    """A conversation as a text of a corpus. Raises DataError, which names `where`, for messages
    that do not alternate, or none of the assistant."""
    try:
        check(value)
    except ValueError as error:
        raise DataError(f"{where}: {error}; correct this conversation") from error
    if value[-1]["role"] != ASSISTANT:
        raise DataError(f"{where}: its last message is the user's, expected the assistant's; correct this conversation")
    return json.dumps([{name: message[name] for name in ("role", "content")} for message in value], ensure_ascii=False)


def check(value: Any) -> None:
    """Raises ValueError for what are no messages of user and assistant in turn, after one of the
    system if any."""
    if not isinstance(value, list) or not value:
        raise ValueError('messages: expected a list such as [{"role": "user", "content": "..."}, ...]')
    system = isinstance(value[0], dict) and value[0].get("role") == "system"
    for number, message in enumerate(value, 1):
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or not isinstance(message.get("content"), str):
            raise ValueError(f"message {number}: expected a role and a content, both texts")
        if any("\ud800" <= character <= "\udfff" for character in message["content"]):
            raise ValueError(f"message {number}: a content with half of a character (a surrogate without its other)")
        expected = "system" if system and number == 1 else (USER, ASSISTANT)[(number - 1 - system) % 2]
        if role != expected:
            raise ValueError(
                f"message {number} has the role {role!r:.40}, expected {expected!r}: user and assistant alternate"
            )
    if len(value) == system:
        raise ValueError("a message of the system alone, expected one of the user after it")


def parse(text: str) -> list[Message] | None:
    """The messages of a text of a corpus; None for any other text."""
    if not text.startswith('[{"role":'):
        return None
    try:
        value = json.loads(text)
        check(value)
    except (ValueError, RecursionError):
        return None
    return value


def content_of(texts: Sequence[str]) -> list[str]:
    """The messages of conversations, to make a vocabulary of."""
    return [f"{message['role']}\n{message['content']}" for text in texts for message in parse(text) or ()]


def encode_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """Token ids of messages and of the beginning of the assistant's answer to them. Without the
    start token, which a generator always reads first."""
    number = tokenizer.backend.token_to_id(OPENING) if tokenizer.kind == "pretrained" else None
    opening = tokenizer.start if number is None else number
    ids: list[int] = []
    for message in messages:
        said = f"{message['role']}\n{message['content']}"
        ids += [opening, *tokenizer.encode(said), tokenizer.end, *tokenizer.encode("\n")]
    ids += [opening, *tokenizer.encode(f"{ASSISTANT}\n")]
    return ids[1:] if opening == tokenizer.start else ids


def encode_answers(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> tuple[Tensor, Tensor, int]:
    """Each answer of the assistant with what was said before it: token ids (N, length), the number
    of those before the answer (N,), and how many answers are left out, since `length` has no room
    for them.

    Raises DataError where none remains.
    """
    rows, given, left = [], [], 0
    for text in texts:
        messages = parse(text) or ()
        for i, message in enumerate(messages):
            if message["role"] != ASSISTANT:
                continue
            prompt = encode_prompt(messages[:i], tokenizer)
            if len(prompt) >= length:
                left += 1
                continue
            ids = [*prompt, *tokenizer.encode(message["content"]), tokenizer.end][:length]
            rows.append([*ids, *[tokenizer.pad] * (length - len(ids))])
            given.append(len(prompt))
    if not rows:
        raise DataError(
            f"no answer of {left} fits into {length} tokens with what was said before it; raise --length, or give shorter ones"
        )
    return torch.tensor(rows), torch.tensor(given), left


def answerable(messages: Any) -> list[Message]:
    """Messages to answer. Raises ConfigError for others."""
    try:
        check(messages)
    except ValueError as error:
        raise ConfigError(f"{error}; correct the conversation") from error
    if messages[-1]["role"] != USER:
        raise ConfigError("the last message is the assistant's, expected one of the user to answer; leave it out")
    return messages
