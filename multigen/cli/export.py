"""`multigen export --model RUN --out FILE.onnx`: exports a trained network to ONNX, verified
against PyTorch."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from multigen.catalogue import LIBRARIES
from multigen.cli.output import print_json
from multigen.console import show
from multigen.errors import CheckpointError, ConfigError, MultigenError
from multigen.runs.options import Code, Device, Direction, Json, Model, Overwrite, cli
from multigen.storage.files import writing
from multigen.storage.output import check_targets, is_own

if TYPE_CHECKING:
    from multigen.tasks.graph import Graph

__all__ = ["run"]

TOLERANCE = 1e-4
LARGE = 2_000_000_000  # bytes: an ONNX file that holds its weights may have 2 GiB


def run(args: list[str]) -> None:
    """Exports a network."""

    def export(
        model: Model,
        out: Annotated[Path, tyro.conf.arg(metavar="FILE.onnx")],
        direction: Direction = None,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Exports a trained network to ONNX (extra export), with named inputs and outputs and a
        dynamic batch size. Tokenizers, Griffin-Lim, and the choice of the next token are not
        included.

        Args:
            out: The result, an .onnx file.
        """
        graph, difference = _export(model, out, direction, overwrite, code, device)
        if json:
            print_json({"model": model, "files": [str(out)], "difference": difference, "says": graph.says})
        else:
            _describe(graph, out, difference)

    cli(export, "multigen export", args)


def _export(
    model: str, out: Path, direction: str | None, overwrite: bool, code: str, device: str
) -> "tuple[Graph, float]":
    """Writes the file. Returns what is in it, and the largest difference of its output from
    PyTorch's."""
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"--out {out}: expected a file ending in .onnx")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(f"multigen export: {error.name} is missing; pip install 'multigen[export]'") from error

    weights = out.with_name(f"{out.name}.data")  # for a large network
    check_targets([out, weights], overwrite, "another file for --out", lambda _: is_own(out))

    from multigen.tasks.loading import load

    result = load(model, code, device)
    if direction:
        if not hasattr(result, "turned"):
            raise ConfigError(f"--direction {direction}: of translation models, and {model} is none; leave it out")
        result = result.turned(direction)
    with writing(out), _exporting(model, other=bool(code) or result.origin.get("method") in LIBRARIES):
        graph = result.graph()
        out.parent.mkdir(parents=True, exist_ok=True)
        return graph, write(graph, out, {**result.origin, **graph.says})


def _describe(graph: "Graph", out: Path, difference: float) -> None:
    show(f"{out}: verified against PyTorch, max abs difference {difference:.1e}")
    for name, what in graph.says.items():
        show(f"  {name}: {what if len(what) < 400 else 'in the metadata of the file'}")
    fed = ", ".join(f'"{name}": {name}' for name in graph.inputs)
    show(f"  in Python: onnxruntime.InferenceSession({dumps(out.name, ensure_ascii=False)}).run(None, {{{fed}}})[0]")


@contextlib.contextmanager
def _exporting(model: str, other: bool) -> Iterator[None]:
    """Turns the error of a network that cannot be exported into a CheckpointError; any error, where
    the network is of a user's file or of another library (`other`)."""
    from torch.onnx import OnnxExporterError

    try:
        yield
    except (MultigenError, OSError):
        raise
    except Exception as error:
        if not other and not isinstance(error, OnnxExporterError):
            raise
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
        raise CheckpointError(
            f"--model {model}: its network cannot be exported to ONNX ({reason}); use it with multigen itself, or "
            "change its code"
        ) from error


# ---------------------------------------------------------------------------------------------------- the file


def write(graph: "Graph", out: Path, says: Mapping[str, Any]) -> float:
    """Writes the file with metadata, runs it, and returns the max abs difference from PyTorch's
    output on batches of other sizes.

    Raises CheckpointError where it is too large. Only a verified file replaces an existing one.
    """
    program = _program(graph)
    with tempfile.TemporaryDirectory(prefix=".", dir=out.parent) as folder:  # a large network has a second file
        file = Path(folder, out.name)
        _save(program, graph, file, says)
        difference = max(_difference(graph, file, n, side) for n, side in ((1, 1), (3, 9)))
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{out}: its output differs from PyTorch's by {difference:.2g}, expected {TOLERANCE:g} at most; use the model "
                "with multigen itself"
            )
        for path in sorted(Path(folder).iterdir(), reverse=True):  # the weights before the graph that names them
            path.replace(out.with_name(path.name))
    return difference


def _program(graph: "Graph") -> Any:
    """The network exported by torch."""
    import torch

    example = graph.example(2, 6)
    with torch.no_grad(), _silence():
        graph.network(*example)  # tensors that networks cache on first use must be real, not the exporter's
        program = torch.onnx.export(
            graph.network,
            example,
            input_names=list(graph.inputs),
            output_names=[graph.output],
            dynamo=True,
            dynamic_shapes=tuple(dict(names) for names in graph.inputs.values()),
            verbose=False,
        )
    assert program is not None
    return program


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppresses the output of torch's exporter: deprecation warnings, and graphs that it could not
    make."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _save(program: Any, graph: "Graph", out: Path, says: Mapping[str, Any]) -> None:
    import onnx

    weights = sum(t.numel() * t.element_size() for t in graph.network.state_dict().values())
    with _silence():
        program.save(out, external_data=weights > LARGE)
    held = onnx.load(out, load_external_data=False)
    for side, size in zip(held.graph.output[0].type.tensor_type.shape.dim, graph.shape, strict=True):
        # torch records the example's number of tokens in the shape of an LSTM's output.
        side.Clear()
        if isinstance(size, str):
            side.dim_param = size
        else:
            side.dim_value = size
    del held.graph.value_info[:]
    onnx.helper.set_model_props(held, {name: str(value) for name, value in says.items()})
    onnx.save(held, out)


def _difference(graph: "Graph", out: Path, n: int, side: int) -> float:
    import numpy as np
    import onnxruntime
    import torch

    given = graph.example(n, side)
    with torch.no_grad():
        expected = graph.network(*given).numpy()
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    fed = {name: t.numpy() for name, t in zip(graph.inputs, given, strict=True)}
    result: Any = session.run(None, fed)[0]
    return float(np.abs(result - expected).max()) if result.shape == expected.shape else float("inf")
