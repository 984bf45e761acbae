"""Domains of the rules that move elements: axes, repetitions, parts, joins, diagonals, windows, padding."""

import functools

import numpy as np
from domains import call, cube, first, integers, real, row, table, template
from numpy.lib.stride_tricks import sliding_window_view

from autodiff import arrays
from autodiff.rules import pad

some = [((2, 3),), ((3,),), ((),), ((0, 3),), ((1, 3),)]


class At:
    """A function that takes its array at a later position, as a row calls it: with the array first."""

    def __init__(self, function, position):
        functools.update_wrapper(self, function)
        self.function, self.position = function, position

    def __call__(self, x, *args, **kwargs):
        return self.function(*args[: self.position], x, *args[self.position :], **kwargs)

    def __eq__(self, other):  # so that the row is found to be the function's
        return other is self.function

    def __hash__(self):
        return hash(self.function)


class Named:
    """A function of the user, with the same name in every run."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __repr__(self):
        return self.name

    def __call__(self, *args):
        return self.function(*args)


total = Named("total", lambda a, axis=None: np.sum(a, axis=axis))
products = Named("products", lambda r: r[:, None] * r[:2])

# -- axes

row(np.rollaxis,         real, complex=True, tries=[call(2), call(-1), call(0, 3), call(1, 1), call(axis=2, start=-3)], shapes=cube)
row(np.matrix_transpose, real, complex=True, shapes=[((2, 3, 4),), ((2, 3),), ((0, 3),)])
row(np.atleast_1d,       real, complex=True, shapes=some)
row(np.atleast_2d,       real, complex=True, shapes=[*some, *cube])
row(np.atleast_3d,       real, complex=True, shapes=[*some, *cube, ((2, 3, 4, 2),)])
row(np.flipud,           real, complex=True, shapes=[((2, 3),), ((3,),), ((0, 3),)])
row(np.fliplr,           real, complex=True, shapes=table)
row(np.rot90,            real, complex=True, tries=[call(), call(-1), call(2), call(4), call(k=3, axes=(1, 0)), call(1, (-1, 0))], shapes=[*cube, *table])
row(np.roll,             real, complex=True, tries=[call(1), call(-2), call(2, axis=0), call((1, 4), axis=(0, -1)), call(shift=[1, 1], axis=1), call((1, -2))], shapes=[*table, ((2, 3, 2),)])

# -- repetitions

row(np.broadcast_arrays, real, template, complex=True, outputs=1, shapes=[((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 3), (2, 3)), ((), (2,)), ((0, 3), (3,))])
row(np.meshgrid,         real, template, complex=True, outputs=1, tries=[call(), call(sparse=True), call(indexing="ij"), call(copy=False, indexing="ij", sparse=True), call(copy=False)], shapes=[((3,), (2,)), ((), (2,)), ((2, 2), (3,)), ((0,), (2,))])
row(np.tile,             real, complex=True, tries=[call(2), call((2, 1)), call(reps=(3, 1, 2)), call([0, 2]), call(()), call((2, 1, 1, 3))], shapes=[((2, 3),), ((3,),), ((),), ((0, 3),), ((2, 1, 2),)])
row(np.repeat,           real, complex=True, tries=[call(2), call(0), call(2, axis=0), call(3, axis=-1), call([1, 0], axis=0), call(repeats=(2, 3), axis=0), call([2])], shapes=[((2, 3),), ((2, 0),), ((2,),)])
row(np.resize,           real, complex=True, tries=[call((3, 4)), call(2), call((2, 0)), call(new_shape=(7,)), call(())], shapes=some)

# -- parts and joins

row(np.split,            real, complex=True, outputs=2, tries=[call(2), call([1]), call((1, 1), axis=0), call(2, axis=-1), call([0, 5], axis=1)], shapes=[((4, 2),), ((2, 2, 2),), ((0, 4),)])
row(np.array_split,      real, complex=True, outputs=2, tries=[call(2), call(3), call([1, -1]), call(5, axis=1), call([2], 1)], shapes=[((4, 3),), ((0, 3),)])
row(np.hsplit,           real, complex=True, outputs=2, tries=[call(2), call([1])], shapes=[((3, 4),), ((4,),), ((2, 2, 3),)])
row(np.vsplit,           real, complex=True, outputs=2, tries=[call(2), call([1])], shapes=[((4, 3),), ((2, 2, 3),)])
row(np.dsplit,           real, complex=True, outputs=2, tries=[call(2), call([1])], shapes=[((2, 3, 4),), ((0, 3, 2),)])
if hasattr(np, "unstack"):
    row(np.unstack,      real, complex=True, outputs=2, tries=[call(), call(axis=1), call(axis=-1)], shapes=[((2, 2, 2),), ((2, 3, 2),)])
row(np.dstack,           real, real, complex=True, sequence=True, shapes=[((2, 3), (2, 3)), ((3,), (3,)), ((2, 3, 1), (2, 3)), ((), ()), ((0, 3), (0, 3))])
row(np.append,           real, real, complex=True, tries=[call(), call(0), call(axis=-2)], shapes=[((2, 3), (1, 3)), ((3,), ()), ((2, 3), (2,)), ((), ()), ((0, 3), (2, 3))])
row(np.block,            real, real, complex=True, sequence=True, shapes=[((2, 3), (2, 1)), ((2,), (3,)), ((), ()), ((3,), (1, 2)), ((2, 0), (2, 3))])

# -- diagonals, triangles, windows

row(np.diagonal,         real, complex=True, tries=[call(), call(1), call(-1), call(offset=5), call(0, 1, 0), call(axis1=-1, axis2=0, offset=1)], shapes=[((3, 4),), ((2, 3, 4),), ((0, 3),)])
row(arrays.embed_diagonal, real, complex=True, tries=[call((2, 5, 5), 1, 1, 2), call((5, 2, 4), -1, 0, -1)], shapes=[((2, 4),)])
row(np.diag,             real, complex=True, tries=[call(), call(1), call(k=-2)], shapes=[((3, 4),), ((3,),), ((0,),), ((4, 2),)])
row(np.diagflat,         real, complex=True, tries=[call(), call(1), call(k=-1)], shapes=[((2, 2),), ((3,),), ((),), ((0, 3),)])
row(np.tril,             real, complex=True, tries=[call(), call(1), call(k=-1)], shapes=[((3, 4),), ((2, 3, 3),), ((3,),), ((0, 3),)])
row(np.triu,             real, complex=True, tries=[call(), call(1), call(k=-1)], shapes=[((3, 4),), ((2, 3, 3),), ((3,),), ((0, 3),)])
row(sliding_window_view, real, complex=True, tries=[call((2, 3)), call(2, axis=1), call((2, 2), axis=(1, 1)), call(window_shape=(4, 2), axis=(1, 0))], shapes=[((3, 4),)])
row(arrays.overlap_add,  real, complex=True, tries=[call((0,)), call((1,)), call((1, 0)), call(())], shapes=[((3, 2, 4, 3),), ((3, 2, 1, 5),)])

# -- padding

frame = [call(1), call((1, 2)), call(((1, 0), (0, 3))), call(((3,), (7,)))]
extensions = [call(args[0], mode) for args, _ in frame for mode in ("edge", "wrap", "reflect", "symmetric")]
row(np.pad,              first, complex=False, tries=[
    *frame, *extensions, call(1, mode="constant", constant_values=2), call(pad_width=1, constant_values=((1, 2), (3, 4))),
    *[call(args[0], mode, reflect_type="odd") for args, _ in frame for mode in ("reflect", "symmetric")],
    *[call(args[0], mode) for args, _ in frame for mode in ("linear_ramp", "maximum", "mean", "median", "minimum")],
    call(2, "linear_ramp", end_values=(1.5, -2)), call((1, 3), "mean", stat_length=2), call(2, "maximum", stat_length=((1, 2), (2, 9))), call(1, "minimum", stat_length=1), call(2, "median", stat_length=2),
], shapes=[((2, 3),), ((1, 3),)])
widths = ((2, 1), (0, 5))
row(pad.framed,          real, complex=True, tries=[call(widths, 0), call(widths, constant_values=2.5), call(widths, ((1, 2), (3, 4)))], shapes=[((2, 3),), ((0, 3),)])
row(pad.extended,        real, complex=True, tries=[call(widths, mode) for mode in ("edge", "wrap", "reflect", "symmetric")], shapes=[((2, 3),), ((1, 3),), ((2, 1),)])
row(pad.folded,          real, complex=True, tries=[call(widths, mode) for mode in ("edge", "wrap", "reflect", "symmetric")], shapes=[((5, 8),), ((4, 6),)])
row(pad.padded,          integers, tries=[call(widths, "mean"), call(widths, "linear_ramp", end_values=5)], shapes=[((2, 3),)])

# -- conversions

row(np.real_if_close,    real, tries=[call(), call(tol=1e-3)])

# -- functions of the user

row(At(np.apply_along_axis, 2), real, complex=True, tries=[call(np.sin, 0), call(total, -1), call(products, 1)], shapes=[((2, 3),), ((2, 3, 2),)])
row(At(np.apply_over_axes, 1), real, complex=True, tries=[call(total, 0), call(total, [0, -1]), call(total, ())], shapes=[((2, 3),), ((2, 3, 2),)])
