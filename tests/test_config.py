"""Configurations as TOML and back, the options of a run, devices and precisions."""

import platform
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen import config
from multigen.config import check_ranges, differences, from_table, read_toml, to_table, write_toml
from multigen.engine import Run
from multigen.engine.device import choose_device, choose_precision
from multigen.errors import ConfigError
from multigen.image import SRGANConfig
from tests.engine.toys import ToyConfig, Whole, options
from tests.special import SPECIAL


@dataclass(frozen=True)
class Inner:
    betas: tuple[float, float] = (0.5, 0.999)
    name: str = "adam"


@dataclass(frozen=True)
class Outer:
    data: str = "digits"
    rate: float = 1e-4
    steps: int = 100
    flip: bool = True
    sizes: tuple[int, ...] = (3, 5)
    inner: Inner = field(default_factory=Inner)


CHANGED = Outer('a "quoted" päth\\\n', 0.1 + 0.2, 10**12, False, (), Inner((0.0, 1 / 3), ""))


@pytest.mark.parametrize(
    "value",
    [Outer(), CHANGED, Run(), Run(seed=7, precision="bf16", minutes=0.1), ToyConfig()],
    ids=lambda v: type(v).__name__,
)
def test_a_configuration_goes_to_toml_and_back(tmp_path: Path, value: Any) -> None:
    write_toml(tmp_path / "c.toml", {"config": to_table(value)})
    assert from_table(type(value)(), read_toml(tmp_path / "c.toml")["config"], "c.toml") == value
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


def test_the_configuration_of_a_run_can_be_given_back(tmp_path: Path) -> None:
    given = ToyConfig(batch=5, lr=0.003, betas=(0.1, 0.2))
    trainer = Whole(given, options(tmp_path, seed=3, log_every=7)).fit()
    table = read_toml(tmp_path / "config.toml")
    assert from_table(ToyConfig(), table["config"], "config.toml") == given == trainer.config
    run = from_table(Run(), table["run"], "config.toml")
    assert (run.seed, run.log_every, run.precision, run.device) == (3, 7, "fp32", "cpu")
    assert (run.out, run.resume) == ("", "")  # so it can be given for another run


def test_part_of_a_configuration_changes_that_part() -> None:
    changed = from_table(Outer(), {"steps": 5, "inner": {"betas": [0.0, 0.9]}}, "here")
    assert changed == Outer(steps=5, inner=Inner(betas=(0.0, 0.9)))


def test_a_whole_number_will_do_for_a_float() -> None:
    changed = from_table(Outer(), {"rate": 1}, "here")
    assert (changed.rate, type(changed.rate)) == (1.0, float)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"stepz": 5}, r"here: unknown field 'stepz'; the fields are data, rate, steps"),
        ({"inner": {"beta": 1}}, r"here, inner: unknown field 'beta'"),
        ({"steps": 5.5}, r"here: steps = 5\.5; expected int"),
        ({"steps": True}, r"here: steps = True; expected int"),
        ({"flip": 1}, r"here: flip = 1; expected bool"),
        ({"rate": "fast"}, r"here: rate = 'fast'; expected float"),
        ({"sizes": 3}, r"here: sizes = 3; expected tuple"),
        ({"inner": 3}, r"here: inner = 3; expected Inner"),
        ({"__class__": 3}, r"unknown field '__class__'"),
    ],
)
def test_a_field_that_does_not_fit_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(Outer(), table, "here")


@pytest.mark.parametrize("content", [b"steps = ", b"\xff\xfe", b"[a]\n[a]"])
def test_what_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.toml.*configuration file"):
        read_toml(tmp_path / "c.toml")
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")


def test_a_failing_write_leaves_the_file_before(tmp_path: Path) -> None:
    write_toml(tmp_path / "c.toml", {"a": 1})
    with pytest.raises(TypeError):
        write_toml(tmp_path / "c.toml", {"a": object()})
    assert read_toml(tmp_path / "c.toml") == {"a": 1}


@pytest.mark.parametrize("name", ["accumulate", "log_every", "save_every", "validate_every", "preview_every", "keep"])
def test_an_option_that_cannot_be_zero_is_named(name: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} 0: expected 1 or more"):
        options("runs", **{name: 0})


@pytest.mark.parametrize("name", ["workers", "minutes"])
def test_an_option_that_cannot_be_negative_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} -1: expected 0"):
        options("runs", **{name: -1})


def test_more_threads_than_a_machine_has_use_for_are_refused() -> None:
    assert options("runs", workers=256).workers == 256
    with pytest.raises(ConfigError, match="workers 1000000000000: expected 0 to 256"):
        options("runs", workers=10**12)


def test_options_that_a_resume_may_change_are_options() -> None:
    assert set(to_table(Run())) > config.FREE
    assert config.FREE.isdisjoint({"seed", "precision", "accumulate", "save_every", "validate_every", "device"})


# -------------------------------------------------------------------------------------------------------- device, precision


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_named(tmp_path: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=rf"device '{device}'.*cuda:N"):
        Whole(ToyConfig(), options(tmp_path / "run", device=device)).fit()
    assert not (tmp_path / "run").exists()


def test_a_precision_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp8"):
        Whole(ToyConfig(), options(tmp_path / "run", precision="fp8")).fit()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("able", "precision"),
    [
        ({"amx_bf16": True}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bf16"),
        ({"avx512_f": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_precision_is_chosen_by_the_hardware(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert choose_precision("auto", choose_device("cpu")) == precision
    assert choose_precision("fp64", choose_device("cpu")) == "fp64"


def test_a_saved_file_that_lacks_its_steps_differs(tmp_path: Path) -> None:
    """As of a damaged file; only fewer steps than now would let the run go on."""
    path, saved, run = tmp_path / "config.toml", to_table(Outer()), Run()
    del saved["steps"]
    write_toml(path, {"method": "toy", "config": saved, "run": to_table(run)})
    assert differences(path, "toy", Outer(), run) == (["steps: None -> 100"], 0)
    write_toml(path, {"method": "toy", "config": {**saved, "steps": 40}, "run": to_table(run)})
    assert differences(path, "toy", Outer(), run) == (["steps: 40 -> 100"], 40)


PAGES = """
import resource
import torch
from multigen.engine.device import keep_memory

for keep in (False, True):
    keep_memory(keep)
    for _ in range(20):  # 32 MiB each: until there is a place for them to keep
        torch.ones(1 << 23)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(1 << 23)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_that_is_kept_is_not_asked_for_again() -> None:
    """Ten large tensors one after the other, in a fresh process: pages are handed out for each, or
    hardly any."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert kept < given_back / 2  # small blocks beside them may take a place of theirs


def test_autocast_is_around_losses_only(tmp_path: Path) -> None:
    """Weights, their averages and the optimisers' state stay in float32; a linear layer runs in
    bfloat16."""
    seen: set[torch.dtype] = set()

    class Seen(Whole):
        def pretrain(self, batch: Any, step: Any) -> Any:
            seen.add(self.G(step.randn("z", 3)).dtype)
            return super().pretrain(batch, step)

    trainer = Seen(ToyConfig(), options(tmp_path, precision="bf16")).fit()
    assert seen == {torch.bfloat16}
    tensors = [t for net in [*trainer.nets.values(), *trainer.averages.values()] for t in net.parameters()]
    assert {t.dtype for t in tensors} == {torch.float32}
    assert {p.grad.dtype for p in trainer.G.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"steps": 101}, "steps 100: expected 101 or more"),
        ({"rate": (0, 1e-5)}, "rate 0.0001: expected 0 to 1e-05"),
        ({"sizes": 4}, "sizes 3: expected 4 or more"),
        ({"sizes": (0, 4)}, "sizes 5: expected 0 to 4"),
        ({"steps": 1, "absent": 7, "sizes": (3, 5)}, ""),
    ],
)
def test_numbers_outside_their_ranges_are_named(ranges: Any, message: str) -> None:
    if not message:
        return check_ranges(Outer(), ranges)
    with pytest.raises(ConfigError, match=message):
        check_ranges(Outer(), ranges)


@pytest.mark.parametrize("change", [{"blocks": -1}, {"lr": -1.0}, {"ema": float("nan")}, {"betas": (0.9, 1.5)}])
def test_settings_of_srgan_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(change))} .*: expected"):
        replace(SRGANConfig(), **change)


NESTED = "x = " + "[" * 50_000 + "]" * 50_000


def test_a_value_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(NESTED)
    with pytest.raises(ConfigError, match=r"c\.toml cannot be read as TOML"):
        read_toml(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"inner": {"betas": ["x", 0.9]}}, r"c, inner: betas = \['x', 0.9\]; expected tuple\[float, float\], as in"),
        ({"inner": {"betas": [0.5]}}, r"betas = \[0.5\]; expected tuple\[float, float\]"),
        ({"inner": {"betas": 0.5}}, r"betas = 0.5; expected tuple\[float, float\]"),
        ({"inner": 3}, r"c: inner = 3; expected Inner"),
        ({"sizes": [1, 2.5]}, r"sizes = \[1, 2.5\]; expected tuple\[int, \.\.\.\]"),
        ({"flip": 1}, "flip = 1; expected bool"),
        ({"rate": 10**400}, r"rate = 1000+; expected float"),
        ([1], r"c: \[1\]; expected a table of settings"),
    ],
)
def test_values_of_another_type_are_refused(table: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(Outer(), table, "c")


def test_whole_numbers_among_others_become_floats() -> None:
    result = from_table(Outer(), {"inner": {"betas": [0, 0.9]}, "rate": 1}, "c")
    assert repr(result.inner.betas) == "(0.0, 0.9)" and repr(result.rate) == "1.0"


def test_a_value_out_of_its_range_is_named_with_its_file() -> None:
    with pytest.raises(ConfigError, match=r"^c\.toml: log_every 0: expected 1 or more"):
        from_table(Run(), {"log_every": 0}, "c.toml")


def test_a_key_of_many_dots_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text in (
        "a." * 50_000 + "a = 1",
        "[" + "a." * 50_000 + "a]",
        "x = {" + '"".' * 50_000 + "a = 1}",
        "1.1." * 50_000,
    ):
        path.write_text(f"b = 1\n{text}\n")
        with pytest.raises(
            ConfigError, match=r"c\.toml cannot be read as TOML \(line 2 has .* dots; expected at most 64\)"
        ):
            read_toml(path)
    path.write_text("# " + "." * 100 + "\nx = [" + "0.5, -1.5e-3, " * 100 + "]\n")
    assert len(read_toml(path)["x"]) == 200


def test_settings_are_read_from_a_regular_file_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("a = 1\n" + "#" * (1 << 20))
    with pytest.raises(
        ConfigError, match=r"c\.toml cannot be read as TOML \(1,048,582 bytes; expected at most 1,048,576\)"
    ):
        read_toml(path)
    for kind, make in SPECIAL.items():
        path = tmp_path / f"{kind}.toml"
        make(path)
        with pytest.raises(ConfigError, match=rf"cannot be read as TOML \({kind}; expected a regular file\)"):
            read_toml(path)
