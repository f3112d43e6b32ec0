"""`multigen doctor`: shows versions, extras, devices and folders, what is missing, and how to
install it."""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path

from multigen.cli.output import print_json
from multigen.console import counted, show, text_table
from multigen.errors import one_line
from multigen.runs.options import cli
from multigen.version import __version__

__all__ = ["EXTRAS", "Check", "checks", "extras", "run"]

EXTRAS = {
    "export": "trained generators as ONNX: multigen export",
    "fid": "the FID of the literature, by its Inception network: --features inception",
    "heif": "HEIC and AVIF images",
    "hub": "data sets of the Hugging Face hub: --data hf:NAME",
    "lm": "language models: multigen import FILE.gguf, low-rank adapters (--lora-rank)",
    "media": "sound of AAC, WMA and video files; multigen interpolate as MP4",
    "models": "networks of about 40 architectures in files of other projects: multigen import",
    "pretrained": "published weights of Real-ESRGAN: --model realesrgan-x4plus",
    "sentences": "a Frechet distance of texts by a sentence encoder",
    "speech": "SI-SDR, SNR, STOI, DNSMOS and DistillMOS of recordings",
    "speech-compiled": "PESQ, pitch and mel-cepstra by WORLD; needs a C compiler to install",
    "tensorboard": "curves in TensorBoard: --tensorboard",
    "text-metrics": "ROUGE and BLEU of continuations: --prompt of text methods",
    "video": "the name of media in 0.1.0",
}
"""Extra -> purpose."""
FOR_DEVELOPERS = {"all", "dev", "docs"}
COMPILED = ("torch", "torchvision", "torchaudio", "soundfile")  # may be installed but incompatible


@dataclass(frozen=True)
class Check:
    """A finding. `problem`: what is wrong and how to fix it, or ""; `core`: nothing works without
    it."""

    name: str
    text: str
    problem: str = ""
    core: bool = False


def run(args: list[str]) -> None:
    """Checks the installation."""

    def doctor(json: bool = False) -> None:
        """Shows versions, devices and folders, what is missing, and how to install it. Nothing is
        downloaded.

        Exit code 1 where an essential part is broken, else 0.

        Args:
            json: Print one JSON object.
        """
        result = list(checks())
        problems = [check for check in result if check.problem]
        if json:
            print_json({"checks": [asdict(check) for check in result], "problems": len(problems)})
        else:
            lines = [(c.name, c.text + (f"  PROBLEM: {c.problem}" if c.problem else "")) for c in result]
            show(text_table(lines), lines=True)
            names = ", ".join(check.name for check in problems)
            show()
            show(f"{len(problems)} problem{'s' * (len(problems) > 1)}: {names}" if problems else "no problems")
        if any(check.core for check in problems):
            raise SystemExit(1)

    cli(doctor, "multigen doctor", args)


def checks() -> Iterator[Check]:
    """All findings in order."""
    yield Check("multigen", f"{__version__}, {Path(__file__).resolve().parents[1]}")
    yield Check("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    by_extra = extras()
    if not by_extra:
        yield Check("packages", "not known", "multigen is not installed, only its sources are here: pip install .")
    compiled = [_compiled(name) for name in COMPILED]
    yield from compiled
    broken = any(check.problem for check in compiled)
    for extra, packages in by_extra.items():
        missing = " ".join(filter(_is_missing, packages))
        if extra:
            state = f"missing: pip install 'multigen[{extra}]'" if missing else "installed"
            yield Check(f"extra {extra}", f"{state} ({EXTRAS.get(extra, '')})")
        else:
            broken = broken or bool(missing)
            wrong = f"not installed: pip install {missing}" if missing else ""
            yield Check("core packages", f"{len(packages)}; pip check compares their versions", wrong, core=True)
    if not broken:
        yield from _devices()
        yield _cache()


def extras() -> dict[str, list[str]]:
    """Packages of each user extra, and of the core under "", from the installed package's
    metadata."""
    try:
        lines = metadata.requires("multigen") or []
    except metadata.PackageNotFoundError:
        return {}
    result: dict[str, list[str]] = {"": []}
    for line in lines:
        extra = re.search(r"extra == ['\"](.+?)['\"]", line)
        result.setdefault(extra[1] if extra else "", []).append(re.split(r"[^\w.-]", line, maxsplit=1)[0])
    return {name: result[name] for name in sorted(result.keys() - FOR_DEVELOPERS)}


def _is_missing(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return True
    return False


def _compiled(name: str) -> Check:
    try:
        import_module(name)
        return Check(name, metadata.version(name))
    except Exception as error:  # an ImportError, or an incompatible library's OSError or RuntimeError
        fix = f"pip install --force-reinstall {' '.join(dict.fromkeys(('torch', name)))}"
        return Check(name, "broken", f"it cannot be imported ({one_line(error)}); {fix}", core=True)


def _devices() -> Iterator[Check]:
    import torch

    from multigen.engine.device import choose_device, choose_precision

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check(
        "cpu",
        f"{counted(os.cpu_count() or 1, 'cores')}, {usable} usable, {counted(torch.get_num_threads(), 'threads')}",
    )
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    listed = [f"cuda:{i} {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for i, gpu in enumerate(gpus)]
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    yield Check("cuda", "; ".join(listed) or f"none (torch is built {built})")
    yield Check("mps", "yes: --device mps" if torch.backends.mps.is_available() else "none")
    device = choose_device("auto")
    native = choose_precision("auto", device) == "bf16"
    yield Check(
        "auto", f"device {device}, precision {'fp32 or bf16, by a trial before training' if native else 'fp32'}"
    )


def _cache() -> Check:
    from multigen.storage.cache import cache_folder, not_private

    cache = cache_folder()
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    nearest = next(place for place in (cache, *cache.absolute().parents) if place.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    fix = "not writable: results are computed again each time; choose another folder with MULTIGEN_CACHE"
    shared = not_private(cache)
    fix = "" if writable and not shared else f"not used: {shared}" if shared else fix
    return Check("cache", f"{cache}, {size / 1e6:,.0f} MB", fix)
