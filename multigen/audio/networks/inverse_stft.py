"""The inverse short-time Fourier transform as a layer: by FFT, and as a fixed transposed
convolution, which ONNX can express."""

import functools

import torch
from torch import Tensor, nn

__all__ = ["InverseSTFT", "inverse_stft"]


def inverse_stft(real: Tensor, imaginary: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """The sound of a spectrum (B, F, N) whose frame i is centred on sample i * hop: (B, N * hop).

    Frames are weighted by a Hann window of `window` samples in their middle, as the analysis was,
    added, and divided by the sum of the squared windows: exact for the spectrum of a sound, but for
    its last samples, which frames beyond would hold.
    """
    taps = _taps(n_fft, window, real.dtype, real.device)
    frames = torch.fft.irfft(torch.complex(real, imaginary), n_fft, dim=1) * taps[:, None]  # (B, n_fft, N)
    return _cut(
        _added(frames, hop), _weight(frames.shape[2], n_fft, hop, window, frames.dtype, frames.device), n_fft, hop
    )


class InverseSTFT(nn.Module):
    """`inverse_stft` as transposed convolutions of fixed weights, for export: twenty times as
    slow."""

    basis: Tensor
    squares: Tensor

    def __init__(self, n_fft: int, hop: int, window: int):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        taps = _taps(n_fft, window, torch.float64, torch.device("cpu"))
        one = torch.eye(n_fft // 2 + 1, dtype=torch.float64)  # (F, F): of one frequency each
        cosines = torch.fft.irfft(torch.complex(one, 0 * one), n_fft) * taps  # (F, n_fft)
        sines = torch.fft.irfft(torch.complex(0 * one, one), n_fft) * taps
        self.register_buffer("basis", torch.cat([cosines, sines])[:, None].float())  # (2 F, 1, n_fft)
        self.register_buffer("squares", (taps * taps)[None, None].float())

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        parts = torch.cat([real, imaginary], 1)  # (B, 2 F, N)
        added = nn.functional.conv_transpose1d(parts, self.basis, stride=self.hop)[:, 0]
        weight = nn.functional.conv_transpose1d(torch.ones_like(parts[:1, :1]), self.squares, stride=self.hop)[:, 0]
        return _cut(added, weight, self.n_fft, self.hop)


def _cut(added: Tensor, weight: Tensor, n_fft: int, hop: int) -> Tensor:
    """Added frames (B, n_fft + (N - 1) hop), over the sum of the squared windows, from the centre
    of the first one on."""
    count = added.shape[1] - n_fft + hop
    part = slice(n_fft // 2, n_fft // 2 + count)
    return added[:, part] / weight[:, part].clamp(min=1e-8)


def _added(frames: Tensor, hop: int) -> Tensor:
    """Frames (B, n_fft, N), each `hop` behind the one before, added: (B, n_fft + (N - 1) hop)."""
    n_fft, n = frames.shape[1:]
    return nn.functional.fold(frames, (1, n_fft + (n - 1) * hop), (1, n_fft), stride=(1, hop))[:, 0, 0]


# Made outside inference mode and of no default device, even if first used within: they take part in training.


@functools.lru_cache(maxsize=16)
def _taps(n_fft: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The window, in the middle of a frame: (n_fft,)."""
    with torch.inference_mode(False), torch.no_grad():
        before = (n_fft - window) // 2
        taps = torch.hann_window(window, dtype=torch.float64, device="cpu")
        return nn.functional.pad(taps, (before, n_fft - window - before)).to(device, dtype)


@functools.lru_cache(maxsize=16)
def _weight(n: int, n_fft: int, hop: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The sum of the squared windows of n frames, (1, n_fft + (n - 1) hop)."""
    with torch.inference_mode(False), torch.no_grad():
        squares = _taps(n_fft, window, torch.float64, torch.device("cpu")).square()
        return _added(squares[None, :, None].expand(1, -1, n), hop).to(device, dtype)
