"""Domains of the rules for regions."""

import numpy as np
from domains import call, real, row

from autodiff import regions
from autodiff.regions import step_to

column = ((np.transpose, (), {}), step_to(1))
lower = ((np.transpose, (), {}), step_to(slice(1, None)))
flat = ((np.reshape, (-1,), {}), step_to(slice(None, None, 2)))
twice = (step_to(slice(1, None)), step_to((slice(None), np.array([0, 0, 2]))))
paths = [column, flat, twice]

row(regions.follow, real, complex=True, tries=[call(p) for p in paths], shapes=[((3, 4),)])
row(regions.punch,  real, complex=True, tries=[call(p) for p in paths], shapes=[((3, 4),)])
row(regions.embed,  real, tries=[call(lower, (3, 4), np.dtype(float)), call(twice, (4, 4), np.dtype(float))], shapes=[((3, 3),)], widens=True)
