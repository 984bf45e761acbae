"""Fourier transforms: the four of one axis have rules, the others of `numpy.fft` are made of them.

A transform multiplies by a symmetric matrix, so it is its own transpose. Padding or cropping to `n` becomes cropping
or padding. Of a real array rfft keeps the half of the spectrum that determines the rest: the other half is its mirror
image. Hence the transpose of rfft is irfft, with half of each frequency that has a mirror image, and that of irfft is
rfft, with twice of each. Both are linear over the real numbers only: irfft ignores the imaginary part of the others.
"""

from typing import Any

import numpy as np

from ..arrays import arange_like, restore, scatter_add
from ..rule import composite, linear

__all__: list[str] = []  # its rules are in the registry

OPPOSITE: Any = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def fit(g, x, axis):
    """`g`, cropped or padded with zeros along `axis` to the length of `x`."""
    n = min(g.shape[axis], x.shape[axis])
    key = (slice(None),) * (axis % x.ndim) + (slice(n),)
    return g[key] if n == x.shape[axis] else scatter_add(g, key, x.shape)


def weigh(h, weight, n, axis):
    """`h`, the half spectrum of `n` real numbers: times `weight` where it has a mirror image, not at 0 and n / 2."""
    k = arange_like(h, h.shape[axis])
    k = k.reshape((-1,) + (1,) * (h.ndim - axis % h.ndim - 1))
    return np.where((k == 0) | (2 * k == n), h, weight * h)


def rfft_map(g, x, n=None, axis=-1, norm=None):
    n = x.shape[axis] if n is None else n
    return fit(np.fft.irfft(weigh(np.conjugate(g), 0.5, n, axis), n, axis, OPPOSITE[norm]), x, axis)


def irfft_map(g, x, n=None, axis=-1, norm=None):
    spectrum = np.conjugate(np.fft.rfft(g, None, axis, OPPOSITE[norm]))
    return restore(fit(weigh(spectrum, 2.0, g.shape[axis], axis), x, axis), x)  # x may be real


linear(np.fft.fft,       lambda g, x, n=None, axis=-1, norm=None: fit(np.fft.fft(g, None, axis, norm), x, axis))
linear(np.fft.ifft,      lambda g, x, n=None, axis=-1, norm=None: fit(np.fft.ifft(g, None, axis, norm), x, axis))
linear(np.fft.rfft,      rfft_map)
linear(np.fft.irfft,     irfft_map)
linear(np.fft.fftshift,  lambda g, x, axes=None: np.fft.ifftshift(g, axes))
linear(np.fft.ifftshift, lambda g, x, axes=None: np.fft.fftshift(g, axes))


# -- several axes, one after the other

def lengths(name, a, s, axes, hermitian=False):
    """The lengths and axes of a transform of `a`; the last of a `hermitian` spectrum is as irfft has it."""
    if axes is None:
        axes = range(-(np.ndim(a) if s is None else len(s)), 0)
    given = [-1 for _ in axes] if s is None else s
    if len(given) != len(axes):
        raise ValueError(f"{name}: s has {len(given)} lengths and axes has {len(axes)}; give one length for each axis")
    n = [a.shape[axis] if length == -1 else length for length, axis in zip(given, axes)]
    if hermitian and s is None:
        n[-1] = None
    return [*zip(n, axes)]


def fftn(a, s=None, axes=None, norm=None):
    for n, axis in reversed(lengths("fftn", a, s, axes)):
        a = np.fft.fft(a, n, axis, norm)
    return a


def ifftn(a, s=None, axes=None, norm=None):
    for n, axis in reversed(lengths("ifftn", a, s, axes)):
        a = np.fft.ifft(a, n, axis, norm)
    return a


def rfftn(a, s=None, axes=None, norm=None):
    steps = lengths("rfftn", a, s, axes)
    n, axis = steps.pop()
    a = np.fft.rfft(a, n, axis, norm)
    for n, axis in reversed(steps):
        a = np.fft.fft(a, n, axis, norm)
    return a


def irfftn(a, s=None, axes=None, norm=None):
    steps = lengths("irfftn", a, s, axes, hermitian=True)
    last, last_axis = steps.pop()
    for n, axis in steps:
        a = np.fft.ifft(a, n, axis, norm)
    return np.fft.irfft(a, last, last_axis, norm)


composite(np.fft.fftn,   fftn)
composite(np.fft.ifftn,  ifftn)
composite(np.fft.rfftn,  rfftn)
composite(np.fft.irfftn, irfftn)
composite(np.fft.fft2,   lambda a, s=None, axes=(-2, -1), norm=None: fftn(a, s, axes, norm))
composite(np.fft.ifft2,  lambda a, s=None, axes=(-2, -1), norm=None: ifftn(a, s, axes, norm))
composite(np.fft.rfft2,  lambda a, s=None, axes=(-2, -1), norm=None: rfftn(a, s, axes, norm))
composite(np.fft.irfft2, lambda a, s=None, axes=(-2, -1), norm=None: irfftn(a, s, axes, norm))


# -- of Hermitian arrays

def hfft(a, n=None, axis=-1, norm=None):
    return np.fft.irfft(np.conjugate(a), n, axis, OPPOSITE.get(norm, norm))


def ihfft(a, n=None, axis=-1, norm=None):
    return np.conjugate(np.fft.rfft(a, n, axis, OPPOSITE.get(norm, norm)))


composite(np.fft.hfft,  hfft)
composite(np.fft.ihfft, ihfft)
