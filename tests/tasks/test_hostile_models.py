"""Model folders that somebody made to do harm: refused in one line, in little memory, without the
network.

All are loaded where no more than another gigabyte may be taken, and sockets are closed: all in a
process of their own, and by default some in that of the tests.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import multigen
from multigen.engine import checkpoint
from multigen.errors import CheckpointError, ConfigError, MultigenError
from multigen.storage.model_folder import read_model
from multigen.storage.tensors import LARGEST_HEADER, TensorFile, to_bytes
from multigen.tasks.loading import load_network
from multigen.text.networks.pretrained import load_pretrained
from tests.engine.toys import Small, ToyConfig, options
from tests.fuzz.fuzzing import limited
from tests.fuzz.hostile_models import TRANSFORMERS, make, make_pretrained, use

TERABYTE = 1 << 40
HUGE = 1 << 36  # bytes: within the limit of a weights file

CHILD = """
import json, resource, socket, sys
from pathlib import Path
def refused(*_, **__):
    print(json.dumps(["NETWORK", ""]), flush=True)
    raise AssertionError("network")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refused
import huggingface_hub.constants, multigen
assert not huggingface_hub.constants.HF_HUB_OFFLINE
from multigen.errors import MultigenError
from multigen.text.networks.pretrained import load_pretrained
from tests.fuzz.hostile_models import use
from transformers import GPT2LMHeadModel, GPTJForCausalLM, GPTNeoXForCausalLM, LlamaForCausalLM
verbs = {
    "load": lambda folder: use(multigen.load(str(folder)), folder),
    "start": lambda folder: load_pretrained(str(folder), 1, 15, 5),
}
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 30), resource.RLIM_INFINITY))
for verb, name in json.load(sys.stdin):
    try:
        verbs[verb](Path(name))
        print(json.dumps([name, "fine"]), flush=True)
    except MultigenError as error:
        print(json.dumps([name, str(error)]), flush=True)
"""


def changed(folder: Path, file: str, **values: Any) -> None:
    """With other values at the top of a JSON file."""
    table = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**table, **values}))


def sparse(file: Path, size: int = TERABYTE, content: bytes = b"") -> None:
    with open(file, "wb") as opened:
        opened.write(content)
        opened.truncate(size)


Maker = Callable[[Path], object]


def own(method: str, part: str = "config", values: Mapping[str, Any] | None = None, **settings: Any) -> Maker:
    """A model folder of a method, then with other settings, or another record of the data."""

    def made(folder: Path) -> None:
        make(folder, method, **settings)
        table = json.loads((folder / "config.json").read_text())
        changed(folder, "config.json", **{part: {**table[part], **(values or {})}})

    return made


def described(kind: str, **values: Any) -> Maker:
    """A model folder of a pretrained transformer, whose description is then another."""
    return lambda folder: changed(make_pretrained(folder, kind), "transformer.json", **values)


def damaged(change: Maker) -> Maker:
    """A model folder whose weights are then others."""
    return lambda folder: change(make(folder, "gan") / "G.safetensors")


def local(change: Maker | None = None, **values: Any) -> Maker:
    """The folder of a language model, as --pretrained takes it, with another configuration."""

    def made(folder: Path) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(vocab_size=15, bos_token_id=1, eos_token_id=2, **TRANSFORMERS["llama"])
        LlamaForCausalLM(config).save_pretrained(folder)
        changed(folder, "config.json", **values)
        if change:
            change(folder)

    return made


def beside(folder: Path) -> None:
    """Files that no method exports."""
    make(folder, "dcgan")
    sparse(folder / "Z.safetensors")
    (folder / "D.safetensors").write_bytes(b"no tensors")
    (folder / "Y.safetensors").mkdir()
    os.mkfifo(folder / "X.safetensors")


def large(file: Path) -> None:
    about = {"x": {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]}}
    text = json.dumps(about).encode()
    sparse(file, 8 + len(text) + HUGE, len(text).to_bytes(8, "little") + text)


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def not_described(folder: Path) -> None:
    (make_pretrained(folder, "llama") / "transformer.json").unlink()


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "owner/name", "peft_type": "LORA"})
    )


def shards(place: str) -> Maker:
    """In a file that an index names, beside a pipe that nobody writes to."""

    def made(folder: Path) -> None:
        names = list(TensorFile.open(folder / "model.safetensors"))
        (folder / "model.safetensors").rename(folder / "a.safetensors")
        os.mkfifo(folder.with_suffix(".safetensors"))
        index = {"metadata": {}, "weight_map": dict.fromkeys(names, place.format(folder.stem))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return made


ELSEWHERE: dict[str, Any] = {
    "attn_implementation": "kernels-community/x",
    "_attn_implementation": "kernels-community/x",
    "experts_implementation": "kernels-community/x",
    "auto_map": {"AutoConfig": "owner/name--c.C", "AutoModelForCausalLM": "owner/name--m.M"},
    "trust_remote_code": True,
    "_name_or_path": "owner/name",
    "name_or_path": "owner/name",
    "architectures": ["owner/name"],
    "torch_dtype": "float16",
    "dtype": "bfloat16",
    "quantization_config": {"quant_method": "gptq", "bits": 4},
    "adapter_config": {"base_model_name_or_path": "owner/name"},
    "kernel_config": {"RMSNorm": "kernels-community/x:Norm"},
    "use_kernels": True,
    "_commit_hash": "0" * 40,
    "gguf_file": "x.gguf",
    "text_config": {"model_type": "llama", "attn_implementation": "kernels-community/x"},
    "per_layer_config": {"0": {"hidden_size": 10**9}},
}
"""Keys of a transformers configuration that name code, files, models or kernels elsewhere, or are
none of the network's."""
PLACE = {"start": 10**9, "end": 10**9, "pad": -1, "tokens": 16}

CASES: dict[str, tuple[Maker, str]] = {
    "n_positions of a GPT-J": (described("gptj", n_positions=10**8), "n_positions 100000000, expected numbers of at most"),
    "fewer n_positions": (described("gptj", n_positions=5 * 10**7), "MiB to build it"),
    "layers of a GPT-2": (described("gpt2", n_layer=10**7), "n_layer 10000000, expected numbers of at most 1,000"),
    "layers of a Llama": (described("llama", num_hidden_layers=1000), "more layers than there are weights for"),
    "long table": (described("llama", rope_parameters={str(i): 0 for i in range(5000)}), "rope_parameters"),
    "another vocabulary": (described("gpt_neox", vocab_size=10**6), "vocab_size 1000000, expected 12"),
    "state space": (described("llama", model_type="mamba"), "model_type 'mamba', expected a decoder such as gpt2"),
    "a name in place of a description": (not_described, "transformer.json describes no model"),
    "layers of a transformer": (own("seqgan", values={"layers": 10**7}, network="transformer"), "layers 10000000"),
    "fewer layers": (own("seqgan", values={"layers": 1000}, network="transformer"), "more layers than"),
    "layers of an LSTM": (own("seqgan", values={"layers": 1000}), "more layers than"),
    "heads": (own("seqgan", values={"heads": 10**9}, network="transformer"), "heads 1000000000: expected at most 4096"),
    "embedding": (own("scratchgan", values={"embedding": 10**9}), "embedding 1000000000: expected at most 65536"),
    "slots": (own("relgan", values={"slots": 10**9}), "slots 1000000000: expected at most 4096"),
    "width of a relational memory": (own("relgan", values={"width": 1 << 16}), "has shape"),
    "blocks of SRGAN": (own("srgan", values={"blocks": 10**7}), "blocks 10000000"),
    "fewer blocks": (own("srgan", values={"blocks": 1000}), "more layers than"),
    "scale": (own("srgan", values={"scale": 10**9}), "scale 1000000000"),
    "another scale": (own("srgan", values={"scale": 8}, generator="srresnet"), "does not fit: missing"),
    "blocks of R3GAN": (own("r3gan", values={"blocks": 1000}), "more layers than"),
    "size of GAN": (own("gan", values={"size": 1 << 14}), "has shape"),
    "size of DCGAN": (own("dcgan", values={"size": 1 << 30}), "size 1073741824: expected at most 16384"),
    "latent": (own("lsgan", values={"latent": 10**9}), "latent 1000000000: expected at most 65536"),
    "clusters": (own("wgan", values={"clusters": 10**9}), "clusters 1000000000"),
    "width": (own("wavegan", values={"width": 1 << 16}), "has shape"),
    "length of WaveGAN": (own("wavegan", values={"length": 1 << 24}), "does not fit: missing"),
    "length of SpecGAN": (own("specgan", values={"length": 1 << 24}), "has shape"),
    "taps": (own("wavegan", values={"post_filter": 10**9}), "post_filter 1000000000"),
    "rate": (own("specgan", values={"rate": 10**9}), "rate 1000000000: expected at most 768000"),
    "rate 0": (own("wavegan", values={"rate": 0}), "rate 0: expected 4000 or more"),
    "channels": (own("dcgan", "data", {"channels": 10**9}), "channels 1000000000: expected 1, grey"),
    "no channels": (own("sngan", "data", {"channels": 0}), "channels 0: expected 1, grey"),
    **{f"seqgan {name}": (own("seqgan", "data", {name: value}), "as in tokenizer.json") for name, value in PLACE.items()},
    **{f"scratchgan {name}": (own("scratchgan", "data", {name: value}), "as in tokenizer.json") for name, value in PLACE.items()},
    "what no method exports": (beside, "fine"),
    "large weights": (damaged(large), "does not fit"),
    "empty terabyte": (damaged(sparse), "expected at most 137,438,953,472"),
    "only zeros": (damaged(lambda file: sparse(file, HUGE)), "a header of 0 bytes"),
    "long header": (damaged(lambda file: sparse(file, HUGE, (1 << 35).to_bytes(8, "little"))), "a header of 34,359,738,368"),
    "a pipe for weights": (damaged(fifo), "a named pipe"),
    "no weights": (damaged(Path.unlink), "missing"),
    "empty weights": (damaged(lambda file: file.write_bytes(b"")), "a header of 0 bytes in a file of 0"),
    **{f"plain {kind}": (described(kind), "fine") for kind in TRANSFORMERS},
    **{f"described, {key}": (described("llama", **{key: value}), "fine") for key, value in ELSEWHERE.items()},
    "another model's name": (own("seqgan", values={"pretrained": "owner/name", "tokenizer": "owner/name"}), "fine"),
}  # fmt: skip
"""What is in a folder -> how it is made, and how loading it is answered: "fine", or part of one
line."""
STARTS: dict[str, tuple[Maker, str]] = {
    **{f"local, {key}": (local(**{key: value}), "fine") for key, value in ELSEWHERE.items()},
    "local, wide": (local(hidden_size=1 << 16, num_attention_heads=1 << 10), "MiB to build it"),
    "local, deep": (local(num_hidden_layers=1000), "more layers than there are weights for"),
    "local, far": (local(num_hidden_layers=10**7), "num_hidden_layers 10000000"),
    "local, state space": (local(model_type="mamba"), "model_type 'mamba'"),
    "local, shards": (local(shards("a.safetensors")), "fine"),
    "local, shards elsewhere": (local(shards("../{}.safetensors")), "expected names of files in the folder"),
    "local, shards of a device": (local(shards("/dev/zero")), "expected names of files in the folder"),
    "local, adapter": (local(adapter), "an adapter to a model elsewhere"),
    "local, no weights": (local(lambda folder: (folder / "model.safetensors").unlink()), "no causal model there"),
}
"""The same of folders that --pretrained names."""


FEW = (
    *("n_positions of a GPT-J", "layers of a Llama", "another vocabulary", "a name in place of a description"),
    *("layers of a transformer", "blocks of SRGAN", "another scale", "size of DCGAN", "taps", "rate 0", "no channels"),
    *(
        "seqgan tokens",
        "what no method exports",
        "large weights",
        "empty terabyte",
        "long header",
        "a pipe for weights",
    ),
    *("described, attn_implementation", "described, auto_map", "another model's name"),
    *("local, auto_map", "local, wide", "local, shards elsewhere", "local, adapter"),
)
"""One of each kind."""


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked: list[str] = []

    def refused(*_: Any, **__: Any) -> None:
        asked.append("network")
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("getaddrinfo", "create_connection", "socket.connect"):
        monkeypatch.setattr(f"socket.{name}", refused)
    yield
    assert asked == []


@pytest.mark.parametrize("name", FEW)
def test_what_a_folder_asks_for_is_bounded_and_never_the_network(name: str, tmp_path: Path, no_network: None) -> None:
    """Of one case of each kind, in this process."""
    maker, expected = {**CASES, **STARTS}[name]
    maker(folder := tmp_path / name)
    message = "fine"
    with limited(1 << 30):
        try:
            load_pretrained(str(folder), 1, 15, 5) if name in STARTS else use(multigen.load(str(folder)), folder)
        except MultigenError as error:
            message = str(error)
    assert_answered(name, message, expected)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of each: "fine", or the line that it was refused with."""
    place = tmp_path_factory.mktemp("hostile")
    for name, (maker, _) in {**CASES, **STARTS}.items():
        maker(place / name)
    requested = [["load", str(place / name)] for name in CASES] + [["start", str(place / name)] for name in STARTS]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(requested),
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == [name for _, name in requested], done.stderr  # and none of them is NETWORK
    return {Path(name).name: message for name, message in lines}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES, *STARTS])
def test_no_folder_makes_a_process_take_more_or_ask_the_network(name: str, answers: dict[str, str]) -> None:
    assert_answered(name, answers[name], {**CASES, **STARTS}[name][1])


def assert_answered(name: str, message: str, expected: str) -> None:
    if expected == "fine":
        assert message == "fine"
    else:
        assert expected in message and name in message and "\n" not in message, message


# ---------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("wrong", [{"start": 9}, {"end": 9}, {"pad": 9}, {"start": -1}, {"pad": -3}, {"tokens": 0}])
def test_special_tokens_of_an_oracle_are_among_its_tokens(wrong: dict[str, int]) -> None:
    from multigen.text.datasets import TextInfo

    info = TextInfo(tokens=9)
    assert info.mismatch(None) == ""
    assert "expected ids of 0 to tokens - 1" in replace(info, **wrong).mismatch(None)  # pyright: ignore[reportArgumentType]


class Table(nn.Module):
    """With a buffer that is in no file."""

    def __init__(self, rows: int):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("table", torch.arange(rows, dtype=torch.float64), persistent=False)


def test_what_is_in_no_file_is_in_proportion_to_what_is() -> None:
    weights = Table(1).state_dict()
    assert load_network(lambda: Table(1000), weights, "m").table.shape == (1000,)
    for rows in (10**8, 10**13):
        with pytest.raises(
            CheckpointError, match=r"^m: no network can be built .*MiB to build it, expected at most 64"
        ):
            load_network(lambda rows=rows: Table(rows), weights, "m")


def test_layers_without_end_are_given_up() -> None:
    def endless() -> nn.Module:
        layers = nn.ModuleList()
        while True:
            layers.append(nn.Linear(1, 1))

    with pytest.raises(CheckpointError, match="more layers than there are weights for"):
        load_network(endless, {"w": torch.zeros(1)}, "m")


# ---------------------------------------------------------------------------------------------------- weights


def file_of(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"a": {**ONE, "dtype": "F8_E4M3"}}, "of type 'F8_E4M3'"),
        ({"a": {**ONE, "shape": [10**30]}}, "of another shape"),
        ({"a": {**ONE, "shape": [-1, -1]}}, "of another shape"),
        ({"a": {**ONE, "shape": [1] * 9}}, "of another shape"),
        ({"a": {**ONE, "shape": [2]}}, "in 4 bytes"),
        ({"a": ONE, "b": ONE}, "they overlap"),
        ({"a": {**ONE, "data_offsets": [4, 8]}}, "leave a gap"),
        ({"a": {"dtype": "F32"}}, "another form"),
        ({"a": 3}, "another form"),
        ([], "another form"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": []}', "twice"),
        (b"[" * 100_000, "another form"),
        (b'{"a"', "Expecting"),
        (b'{"\xff": 1}', "codec"),
        ({}, "expected 10"),
    ],
)  # fmt: skip
def test_a_header_of_another_form_is_refused(header: object, match: str, tmp_path: Path) -> None:
    path = file_of(tmp_path / "G.safetensors", header, bytes(4))
    with pytest.raises(CheckpointError, match=match) as result:
        TensorFile.open(path)
    assert str(path) in str(result.value) and "\n" not in str(result.value)
    with pytest.raises(CheckpointError, match=r"not a whole checkpoint|damaged"):
        checkpoint.write(tmp_path / "step-1", {"G": {"w": torch.ones(1)}}, {})
        (tmp_path / "step-1" / "G.safetensors").write_bytes(path.read_bytes())
        checkpoint.read(tmp_path / "step-1")


@pytest.mark.parametrize("length", [0, 1, LARGEST_HEADER + 1, 1 << 60, (1 << 64) - 1])
def test_a_header_of_another_length_is_not_read(length: int, tmp_path: Path) -> None:
    path = file_of(tmp_path / "G.safetensors", {"a": ONE}, bytes(4), length)
    with path.open("ab") as file:
        file.truncate(2 * LARGEST_HEADER)
    with pytest.raises(CheckpointError, match="a header of"):
        TensorFile.open(path)


def test_tensors_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.zeros(0, 3), "n": torch.tensor(7)}
    (tmp_path / "G.safetensors").write_bytes(to_bytes(weights))
    result = TensorFile.open(tmp_path / "G.safetensors")
    assert (
        result.stored["a"].shape == (2, 3)
        and result.nbytes == 32
        and list(result) == sorted(weights, key=list(result).index)
    )
    assert all(torch.equal(result[name], weights[name]) for name in weights) and len(result) == 3
    with pytest.raises(KeyError):
        result["c"]


# ---------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_that_grew_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(tmp_path / "step-1", {"G": {"w": torch.ones(3)}, "D": {"w": torch.ones(3)}}, {"step": 1})
    whole = Path.read_bytes
    read: list[str] = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))
    assert checkpoint.read(tmp_path / "step-1", ["G"])[0].keys() == {"G"} and "D.safetensors" not in read
    for name in ("D", "Z"):
        sparse(tmp_path / "step-1" / f"{name}.safetensors")
        read.clear()
        with pytest.raises(
            CheckpointError, match=rf"is damaged: .*{name}\.safetensors missing, left over, or not as written"
        ):
            checkpoint.read(tmp_path / "step-1")
        assert [name for name in read if name.endswith(".safetensors")] == []


def test_a_run_starts_from_the_networks_that_it_has_alone(tmp_path: Path) -> None:
    Small(ToyConfig(), options(tmp_path / "old")).fit()
    sparse(tmp_path / "old" / "model" / "Z.safetensors")
    Small(ToyConfig(), options(tmp_path / "new", start=str(tmp_path / "old"))).prepare()
    assert read_model(tmp_path / "old" / "model", ["G"]).weights.keys() == {"G"}
    (tmp_path / "old" / "model" / "G.safetensors").unlink()
    sparse(tmp_path / "old" / "model" / "G.safetensors")
    with pytest.raises(CheckpointError, match=r"G\.safetensors is not a complete safetensors file"):
        Small(ToyConfig(), options(tmp_path / "third", start=str(tmp_path / "old"))).prepare()


def test_a_start_that_the_network_lacks_is_one_line(tmp_path: Path) -> None:
    local()(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"^tokenizer of 17 tokens: [^\n]* has 15; give the tokenizer"):
        load_pretrained(str(tmp_path / "a"), 16, 17, 5)
