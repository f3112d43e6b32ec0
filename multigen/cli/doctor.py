"""`multigen doctor`: versions, devices, folders, what is missing and how to get it."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path

from multigen.cli.output import print_json
from multigen.console import text_table
from multigen.runs.options import cli

__all__ = ["EXTRAS", "Check", "checks", "extras", "run"]

EXTRAS = {
    "export": "trained generators as ONNX: multigen export",
    "fid": "the FID of the literature, by its Inception network: --features inception",
    "hub": "data sets of the Hugging Face hub: --data hf:NAME",
    "sentences": "a Frechet distance of texts by a sentence encoder",
    "speech": "PESQ and STOI of speech",
    "tensorboard": "curves in TensorBoard: --tensorboard",
    "video": "multigen interpolate as MP4",
}
"""Extra -> what one gets by it. Which packages it stands for, the installed package says itself."""
FOR_DEVELOPERS = {"dev", "docs"}

LITTLE = 2 << 30  # bytes free: a run of large networks may need as much
LOADED = ("torch", "torchvision", "torchaudio", "soundfile")
"""Core packages with compiled parts, which may be there and not fit each other."""


@dataclass(frozen=True)
class Check:
    """A finding. `problem` says what is wrong and the remedy, or nothing; `core` whether nothing works without it."""

    name: str
    text: str
    problem: str = ""
    core: bool = False


def run(args: list[str]) -> None:
    """Looks at the installation."""

    def doctor(json: bool = False) -> None:
        """Says which versions, devices and folders there are, what is missing, and how to get it. Nothing is downloaded.

        Exit code 1 where something is broken that nothing works without, else 0.

        Args:
            json: Print one JSON object.
        """
        found = list(checks())
        problems = [check for check in found if check.problem]
        if json:
            print_json({"checks": [asdict(check) for check in found], "problems": len(problems)})
        else:
            print(text_table([(c.name, c.text + (f"  PROBLEM: {c.problem}" if c.problem else "")) for c in found]))
            noun = "problem" if len(problems) == 1 else "problems"
            print(f"\n{len(problems)} {noun}: {', '.join(c.name for c in problems)}" if problems else "\nall is well")
        if any(check.core for check in problems):
            raise SystemExit(1)

    cli(doctor, "multigen doctor", args)


def checks() -> Iterator[Check]:
    """All findings in their order."""
    from multigen.version import __version__

    yield Check("multigen", f"{__version__}, {Path(__file__).resolve().parents[1]}")
    yield Check("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    required, extra = extras()
    if not required:
        yield Check("packages", "not known", "multigen is not installed, only its sources are here: pip install .")
    broken = yield from _packages(required)
    for name, packages in extra.items():
        missing = [problem for line in packages if (problem := _missing(line))]
        what = f" ({EXTRAS[name]})" if name in EXTRAS else ""
        text = f"missing: pip install 'multigen[{name}]'{what}" if missing else f"installed{what}"
        yield Check(f"extra {name}", text)
    if "torch" not in broken:
        yield from _devices()
    yield from _folders()
    if "soundfile" not in broken:
        yield _sound_formats()
    yield _ffmpeg()


# ---------------------------------------------------------------------------------------------------- packages


def extras() -> tuple[list[str], dict[str, list[str]]]:
    """Requirements of the core, and of each extra for users, as the installed package states them."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("multigen") or []
        names = metadata.metadata("multigen").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return [], {}
    wanted = [Requirement(line) for line in lines]
    core = [str(r).partition(";")[0] for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    by_extra = {
        name: [
            str(r).partition(";")[0]
            for r in wanted
            if r.marker and not r.marker.evaluate({"extra": ""}) and r.marker.evaluate({"extra": name})
        ]
        for name in sorted({*names} - FOR_DEVELOPERS)
    }
    return core, by_extra


def _missing(line: str) -> str:
    """What is wrong with the package that a requirement names: not installed, another version, or nothing."""
    from packaging.requirements import Requirement

    wanted = Requirement(line)
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted.name} is not installed: pip install '{line.strip()}'"
    if not wanted.specifier.contains(version, prereleases=True):
        return f"{wanted.name} {version}, expected {wanted.specifier}: pip install '{line.strip()}'"
    return ""


def _packages(required: list[str]) -> Iterator[Check]:
    """Versions of the core packages; those that are compiled are imported, which shows whether they fit each other.

    Returns the names of those that cannot be imported.
    """
    broken = set()
    for name in LOADED:
        try:
            import_module(name)
            yield Check(name, metadata.version(name))
        except Exception as error:  # an ImportError, or an OSError or RuntimeError of a library that does not fit
            broken.add(name)
            reason = " ".join(str(error).split())[:200]
            fits = "one that fits torch: " if name.startswith("torch") and name != "torch" else ""
            text = f"it cannot be imported ({reason}); {fits}pip install --force-reinstall {name}"
            yield Check(name, "broken", text, core=True)
    others = [line for line in required if not line.startswith(tuple(broken))]
    problems = [problem for line in others if (problem := _missing(line))]
    yield Check(
        "core packages", f"{len(others) - len(problems)} of {len(required)} as needed", "; ".join(problems), True
    )
    return broken


# ---------------------------------------------------------------------------------------------------- devices


def _devices() -> Iterator[Check]:
    import torch

    from multigen.engine.device import choose_device, choose_precision

    able = getattr(torch.cpu, "get_capabilities", dict)()
    units = [label for key, label in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")) if able.get(key)]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{_processor()}, {os.cpu_count()} cores, {usable} usable, {torch.get_num_threads()} threads"
    yield Check("cpu", f"{text}; bf16 by {' and '.join(units)}" if units else f"{text}; no units for bf16")
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    listed = [f"cuda:{i} {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for i, gpu in enumerate(gpus)]
    built = (
        f"none (torch is built for CUDA {torch.version.cuda})"
        if torch.version.cuda
        else "none (torch is built without CUDA)"
    )
    yield Check("cuda", "; ".join(listed) or built)
    yield Check("mps", "yes: --device mps" if torch.backends.mps.is_available() else "none")
    device = choose_device("auto")
    yield Check("auto", f"device {device}, precision {choose_precision('auto', device)}")
    backends = [name for name in ("gloo", "nccl", "mpi") if getattr(torch.distributed, f"is_{name}_available", bool)()]
    yield Check("distributed", ", ".join(backends) or "none, so one process only")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# ---------------------------------------------------------------------------------------------------- folders and formats


def _folders() -> Iterator[Check]:
    data = os.environ.get("MULTIGEN_DATA", "")
    wrong = "no such folder; set it to one, or unset it" if data and not Path(data).is_dir() else ""
    yield Check("MULTIGEN_DATA", data or "not set: relative data are sought here alone", wrong)
    try:
        from multigen.image.synthesis.evaluator import INCEPTION
        from multigen.storage.cache import cache_folder
    except Exception:  # said above, of whatever kind it was
        return
    cache = cache_folder()
    files = [path for path in cache.rglob("*") if path.is_file()] if cache.is_dir() else []
    size = sum(path.stat().st_size for path in files)
    nearest = next(place for place in (cache, *cache.absolute().parents) if place.exists())
    wrong = (
        ""
        if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
        else (
            "it cannot be written, so that results are computed again each time; name another folder with MULTIGEN_CACHE"
        )
    )
    yield Check("cache", f"{cache}, {len(files):,} files, {size / 1e6:,.0f} MB", wrong)
    weights = cache / INCEPTION[0].rpartition("/")[2]
    yield Check(
        "inception", str(weights) if weights.is_file() else "not here; fetched when it is first asked for (91 MB)"
    )
    for name, place in {"disk here": Path.cwd(), "disk of cache": nearest}.items():
        free = shutil.disk_usage(place).free
        yield Check(
            name, f"{free / 2**30:,.1f} GiB free", "make room for runs and checkpoints" if free < LITTLE else ""
        )


def _sound_formats() -> Check:
    import soundfile

    able, wanted = soundfile.available_formats(), ("WAV", "FLAC", "OGG", "MP3")
    missing = [kind for kind in wanted if kind not in able]
    wrong = f"no {', '.join(missing)}; pip install --upgrade soundfile brings a newer libsndfile" if missing else ""
    writes = ", ".join(kind.lower() for kind in wanted if kind in able)
    return Check("sound files", f"libsndfile {soundfile.__libsndfile_version__}, writes {writes}", wrong)


def _ffmpeg() -> Check:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return Check("ffmpeg", get_ffmpeg_exe())
    except ImportError:
        return Check("ffmpeg", "none; the extra video brings it")
    except RuntimeError as error:
        return Check("ffmpeg", "none", f"{error}; pip install --force-reinstall imageio-ffmpeg")
