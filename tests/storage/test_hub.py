"""Models of the hub, from a stand-in of it on this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants as constants
import pytest
import torch

import multigen
from multigen.errors import CheckpointError, ConfigError
from tests import tiny
from tests.cli.test_sample import GREY, model

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories by name, their files by path; what was asked for is in `asked`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.closed: set[str] = set()
        self.asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    """The four requests that `snapshot_download` makes."""

    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name, rest = "/".join(parts[2:4] if api else parts[:2]), parts[4:] if api else parts[2:]
        files = self.server.repos.get(name)
        if name in self.server.closed:
            return self.fail(403, "GatedRepo")
        if files is None:
            return self.fail(404, "RepoNotFound")
        if api and rest[0] == "revision":
            if rest[1] not in ("main", "v1", SHA):
                return self.fail(404, "RevisionNotFound")
            return self.give(json.dumps({"id": name, "sha": SHA}).encode())
        if api:
            return self.give(
                json.dumps(
                    [{"type": "file", "path": p, "size": len(b), "oid": tag(b)} for p, b in files.items()]
                ).encode()
            )
        file = "/".join(rest[2:])
        self.server.asked.append(file)
        self.give(files[file])

    def give(self, content: bytes) -> None:
        self.send_response(200)
        for name, value in {
            "Content-Length": str(len(content)),
            "ETag": f'"{tag(content)}"',
            "X-Repo-Commit": SHA,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def fail(self, code: int, reason: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()


def tag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", place)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_and_nothing_else_and_works_without_the_hub(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = model(tmp_path / "run", GREY)
    held = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    others = (
        "pytorch_model.bin",
        "G.pt",
        "code.py",
        "sub/G2.safetensors",
        "sub/config.json",
        "notes.txt",
        "a\x1b[2J.json",
    )
    hub.repos["ann/faces"] = held | {name: b"never" for name in others}
    expected = multigen.load(str(run)).sample(3)
    assert torch.equal(multigen.load("hf:ann/faces").sample(3), expected)
    assert set(hub.asked) == set(held)
    size = sum(len(content) for name, content in held.items() if name != "config.json")
    assert f"hf:ann/faces: downloading 2 files, {size / 1e6:.1f} MB" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "cache").glob("*/snapshots/*/*")} == set(held)
    hub.asked.clear()
    assert torch.equal(multigen.load("hf:ann/faces@v1").sample(3), expected)
    assert hub.asked == [] and "downloading" not in capsys.readouterr().err
    hub.shutdown()
    hub.server_close()
    result = multigen.load("hf:ann/faces")
    assert torch.equal(result.sample(3), expected) and result.origin["model"] == "hf:ann/faces"
    assert tiny.multigen(["sample", "--model", "hf:ann/faces", "-n", "1", "--out", tmp_path / "out"]) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:ann/none", "there is no such repository, or it is private; check the name, or log in"),
        ("hf:ann/closed", "it is gated; request access on its page"),
        ("hf:ann/faces@v9", "there is no such revision; check the name after the @"),
        ("hf:ann/foreign", "is not a multigen model: it has no config.json that names a method"),
        ("hf:ann/empty", "is not a multigen model"),
    ],
)
def test_what_is_not_available_is_reported_in_one_line(name: str, message: str, hub: Hub) -> None:
    hub.closed.add("ann/closed")
    hub.repos = {
        "ann/faces": {"config.json": b"{}"},
        "ann/foreign": {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": b"gigabytes"},
        "ann/empty": {"model.safetensors": b"gigabytes"},
    }
    with pytest.raises(CheckpointError, match=message) as error:
        multigen.load(name)
    assert str(error.value).startswith(name) and "\n" not in str(error.value)
    assert "model.safetensors" not in hub.asked


def test_without_a_network_and_without_a_copy(hub: Hub) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(CheckpointError, match="the hub cannot be reached, and it is not in the cache"):
        multigen.load("hf:ann/faces")


@pytest.mark.parametrize(
    "name", ["hf:", "hf:faces", "hf:ann/../faces", "hf:ann/faces@../../x", "hf:ann/faces/more", "hf:ann/..@v1"]
)
def test_names_of_another_form(name: str) -> None:
    with pytest.raises(ConfigError, match="expected hf:OWNER/NAME, or hf:OWNER/NAME@REVISION"):
        multigen.load(name)
