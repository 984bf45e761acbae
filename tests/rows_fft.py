"""Rows of the rules in autodiff/rules/fft.py."""

import numpy as np
from domains import call, real, row

norms = [call(norm="backward"), call(norm="ortho"), call(norm="forward")]
lengths = [call(), call(n=6), call(n=5), call(2), call(1), call(axis=0), call(3, 0, "ortho"), call(n=6, axis=-2, norm="forward"), *norms]
spaces = [call(), call(s=(2, 2), axes=(0, 1)), call(s=(3, -1), axes=[0, 1], norm="ortho"), call(axes=(1, 0)), call(axes=(0, 0)), *norms]
spaces += [call(axes=(1,)), call((4,), (0,), "forward"), call(s=(5, 3), axes=(1, 1)), call(s=(2, 3), axes=(-1, 0)), call(axes=None)]
planes = [*spaces, call((4, 5)), call(s=(3, -1))]
shifts = [call(), call(0), call(axes=(0, -1)), call(axes=-1), call(axes=[1])]
one_axis = [((3, 4),), ((2, 5),), ((2, 1, 3),), ((1,),), ((2, 0, 3, 4),), ((),)]
two_axes = [((3, 4),), ((4, 3),), ((2, 3, 4),)]
several_axes = [((3, 4),), ((2, 3, 4),), ((5,),), ((2, 3, 0, 3, 4),), ((),)]
padded = [((0, 4),), ((3, 0),)]  # not for irfft: of an empty spectrum NumPy's is not initialized

# -- of one axis

row(np.fft.fft,       real, complex=True, widens=True, tries=lengths, shapes=[*one_axis, *padded])
row(np.fft.ifft,      real, complex=True, widens=True, tries=lengths, shapes=[*one_axis, *padded])
row(np.fft.rfft,      real,               widens=True, tries=lengths, shapes=[*one_axis, *padded])
row(np.fft.irfft,     real, complex=True,              tries=lengths, shapes=one_axis)
row(np.fft.hfft,      real, complex=True,              tries=lengths, shapes=one_axis)
row(np.fft.ihfft,     real,               widens=True, tries=lengths, shapes=[*one_axis, *padded])

# -- of several

row(np.fft.fft2,      real, complex=True, widens=True, tries=planes, shapes=two_axes)
row(np.fft.ifft2,     real, complex=True, widens=True, tries=planes, shapes=two_axes)
row(np.fft.rfft2,     real,               widens=True, tries=planes, shapes=two_axes)
row(np.fft.irfft2,    real, complex=True,              tries=planes, shapes=two_axes)
row(np.fft.fftn,      real, complex=True, widens=True, tries=spaces, shapes=several_axes)
row(np.fft.ifftn,     real, complex=True, widens=True, tries=spaces, shapes=several_axes)
row(np.fft.rfftn,     real,               widens=True, tries=spaces, shapes=several_axes)
row(np.fft.irfftn,    real, complex=True,              tries=spaces, shapes=several_axes)

# -- shifts

row(np.fft.fftshift,  real, complex=True, tries=shifts, shapes=[((3, 4),), ((2, 5),), ((3, 1, 2),), ((0, 3),), ((4,),), ((),)])
row(np.fft.ifftshift, real, complex=True, tries=shifts, shapes=[((3, 4),), ((2, 5),), ((3, 1, 2),), ((0, 3),), ((4,),), ((),)])
