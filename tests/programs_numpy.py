"""Plain NumPy programs: how people write into arrays and build them. They know nothing of differentiation."""

from functools import partial

import numpy as np
from programs import at

# -- writing in place

writes = partial(at, "in place")


@writes(0.3, 1.2, -0.7)
def set_elements(x):
    y = np.zeros_like(x)
    for i in range(len(x)):
        y[i] = x[i] ** 2 * x[i - 1]
    return y.sum()


@writes(1.0, 2.0, 3.0)
def shift_and_scale(x):
    y = np.zeros_like(x)
    y[0] = x[1] ** 2
    y[1:] = x[:-1]
    v = y[1:]
    v *= 3.0
    np.add.at(y, [0, 0], x[2])
    y[y > 8] = 0.0
    return (y * y).sum()


@writes(0.5, -1.5, 2.5, -0.5)
def masked_assignment(x):
    y = x**2
    y[x < 0] = 0.1
    y[y > 5] *= x[0]
    return np.sum(y * x)


@writes(0.4, 1.1, -0.6)
def masked_with_values(x):
    y = np.zeros((2, 3))
    keep = np.array([[True, False, True], [False, True, False]])
    y[keep] = x
    y[~keep] = x * x[0]
    return (y[0] * y[1] ** 2).sum()


@writes(0.2, 0.8, -0.4, 1.1)
def augmented(x):
    y = x.copy()
    y += x**2
    y *= x
    y -= 1
    y /= 2 + x**2
    y **= 2
    return y.sum()


@writes(0.2, 0.8, -0.4, 1.1)
def augmented_slices(x):
    y = np.exp(x)
    y[1:] += y[:-1]
    y[::2] *= x[1]
    y[-1] -= y[0]
    return y @ x


@writes(0.3, 0.9, 1.4)
def write_to_argument(x):
    x[0] = x[1] * x[2]
    x *= 2
    return np.sin(x).sum()


@writes(0.3, 0.9, 1.4, -0.2, 0.6, 1.0)
def chained_views(x):
    y = x * 1
    a = y.reshape(2, 3)
    row = a[1]
    tail = row[1:]
    tail *= a[0, :2]
    y[0] = tail.sum()
    return (y**3).sum()


@writes(0.3, 0.9, 1.4, -0.2, 0.6, 1.0)
def write_after_view(x):
    y = x**2
    head = y[:3]
    y[1] = x[5]
    y += x
    return np.prod(head)


@writes(0.5, 1.5, -1.0)
def transposed_view(x):
    a = np.ones((3, 2))
    t = a.T
    t[0] = x
    t[1] *= x[::-1]
    return np.linalg.norm(a @ a.T)


@writes(0.5, 1.5, -1.0, 0.25)
def reversed_in_place(x):
    y = x**2
    y[:] = y[::-1]
    y[1:] = y[:-1]
    r = y[::-1]
    r[0] += x[3]
    return y @ np.arange(4.0)


@writes(0.5, 1.5, -1.0)
def real_and_imaginary(x):
    z = np.zeros(3, complex)
    z.real = np.cos(x)
    z.imag = x**2
    z[1] *= 1j
    return abs(z @ z) ** 2


@writes(0.4, -0.8, 1.3)
def diagonal_filled(x):
    a = np.outer(x, x) + 1
    np.fill_diagonal(a, 3 + x)
    return np.linalg.det(a)


@writes(0.4, -0.8, 1.3)
def flat_diagonal(x):
    a = np.outer(x, x)
    a.flat[::4] += 2 * x
    return (a @ a).sum()


@writes(0.4, -0.8, 1.3)
def einsum_diagonal(x):
    a = np.outer(x, x)
    np.einsum("ii->i", a)[:] *= x
    return (a**2).sum()


@writes(0.4, -0.8, 1.3, 0.9)
def put_copyto_place(x):
    y = x * 1.0
    np.put(y, [0, 2], x[1:3] ** 2)
    np.copyto(y, 3 * x, where=x > 1)
    np.place(y, y < 0, [0.5])
    np.putmask(y, x < -0.5, x[0] * x)
    return (y * x).sum()


@writes(0.4, -0.8, 1.3, 0.9, 0.1, 0.2)
def put_along(x):
    a = x.reshape(2, 3) * 1.0
    np.put_along_axis(a, np.argmax(a, axis=1)[:, None], a.sum(axis=1, keepdims=True), axis=1)
    return (a**2).sum()


@writes(0.4, -0.8, 1.3)
def out_argument(x):
    y = np.empty(3)
    np.multiply(x, x, out=y)
    np.exp(y, out=y)
    np.add(y, x, y)
    np.clip(y, 1.0, 5.0, out=y)
    return y.sum()


@writes(0.4, -0.8, 1.3)
def out_and_where(x):
    n = np.array([0.0, 2.0, 4.0])
    return np.sum(np.divide(x, n, out=x**2, where=n > 0) * np.log(n + 1, out=np.ones(3), where=n > 3))


@writes(0.4, -0.8, 1.3, 0.6)
def out_of_products(x):
    a, b = x.reshape(2, 2), np.zeros((2, 2))
    np.matmul(a, a, out=b)
    np.dot(b, a, out=b[:])
    c = np.empty(2)
    np.sum(b, axis=0, out=c)
    np.cumsum(c, out=c)
    return c @ c


@writes(0.4, -0.8, 1.3, 0.6)
def add_at_repeated(x):
    y = np.zeros(3)
    np.add.at(y, [0, 2, 0, 2], x**2)
    np.subtract.at(y, [1, 1], x[:2])
    return np.prod(y)


@writes(0.4, -0.8, 1.3)
def columns_and_grids(x):
    a = np.zeros((3, 4))
    a[:, 0] = x
    a[..., 1] = x[0]
    a[np.ix_([0, 2], [2, 3])] += x[1] ** 2
    a[[0, 1]] = a[[1, 0]]
    a[[0, 1], [3, 3]] = x[:2] * x[2]
    return (a.T @ a).sum()


@writes(0.4, -0.8, 1.3)
def fortran_order(x):
    a = np.asfortranarray(np.outer(x, x + 1))
    a[:, 0] *= 2
    a[1] += x
    return a.ravel(order="F") @ np.arange(9.0)


@writes(0.4, -0.8, 1.3, 0.3)
def swap_and_fill(x):
    y = x**2
    y[0], y[1] = y[1], y[0]
    z = np.empty_like(y)
    z.fill(x[2])
    z[:2] = y[2:]
    return y @ z**2


@writes(1.3, 0.2, -0.9, 0.5, -0.1)
def sort_in_place(x):
    y = x * x[0]
    y.sort()
    y[:2] = 0
    return y @ np.arange(5.0)


@writes(1.3, 0.2, -0.9, 0.5, -0.1)
def recurrence(x):
    y = np.zeros(6)
    y[0] = 0.1
    for i in range(5):
        y[i + 1] = 0.9 * y[i] + np.sin(x[i]) * y[i]
        y[i] -= 0.1 * x[i]
    return y[-1] + y @ y


@writes(2.0, 0.3, -0.4, 0.5, 3.0, 0.2, -0.7, 0.1, 2.5)
def elimination(x):
    a = x.reshape(3, 3)
    b = np.ones(3)
    for i in range(3):
        b[i] /= a[i, i]
        a[i] /= a[i, i]
        for j in range(i + 1, 3):
            b[j] -= a[j, i] * b[i]
            a[j] -= a[j, i] * a[i]
    for i in (1, 0):
        b[i] -= a[i, i + 1 :] @ b[i + 1 :]
    return b @ b


# -- plain buffers

buffers = partial(at, "buffers")


@buffers(1.0, 2.0, 3.0)
def filled_buffer(x):
    out = np.empty(3)
    for i in range(3):
        out[i] = x[i] ** 2
    return out.sum()


@buffers(0.3, 1.0, 2.0)
def rotation_matrix(x):
    R = np.array([[np.cos(x[0]), -np.sin(x[0])], [np.sin(x[0]), np.cos(x[0])]])
    return np.linalg.norm(R @ np.stack([x[1], x[2]]) - np.array([1, 0]))


def rotation(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    r = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    r[i, i], r[i, j], r[j, i], r[j, j] = c, -s, s, c
    return r


@buffers(0.3, 1.0, 2.0)
def euler_angles(x):
    v = rotation(2, x[0]) @ rotation(0, x[1]) @ rotation(2, x[2]) @ np.array([1.0, 2.0, 3.0])
    return v[0] * v[1]


@buffers(shape=5, low=0.5, high=2.0)
def stiffness_assembly(x):
    K = np.zeros((6, 6))
    for e, k in enumerate(x):
        K[e : e + 2, e : e + 2] += k * np.array([[1, -1], [-1, 1]])
    return np.linalg.solve(K[1:, 1:], np.ones(5))[-1]


@buffers(0.7, 1.1)
def full_and_like(x):
    a = np.full(3, x[0])
    b = np.full_like(a, x[1])
    c = np.full((3, 2), x)
    return (a * b**2).sum() + a @ c[:, 1]


@buffers(0.7, 1.1, -0.4)
def mixed_lists(x):
    a = np.array([[x[0], 1, 0], [x[1] * x[2], 2.5, x[0]], [0, x[2], 1]])
    return np.linalg.det(a) + np.asarray([x[0], 3.0]) @ np.array([2, x[1]])


@buffers(0.7, 1.1, -0.4)
def appended_list(x):
    trajectory = [x[0]]
    for k in range(4):
        trajectory.append(trajectory[-1] * x[1] + k * x[2])
    t = np.array(trajectory)
    return np.sum(np.diff(t) ** 2) + np.mean(trajectory)


@buffers(0.7, 1.1, -0.4)
def comprehension(x):
    return np.array([np.array([v, v**2, 1.0]) for v in x]).sum(axis=0) @ np.array([sum(x), 2, 3])


@buffers(0.7, 1.1, -0.4)
def design_matrix(x):
    A = np.ones((3, 3))
    for k in range(1, 3):
        A[:, k] = x**k
    return np.sum((A @ np.array([1.0, -2.0, 0.5])) ** 2)


@buffers(0.7, 1.1, -0.4)
def complex_buffer(x):
    z = np.zeros(4, dtype=complex)
    z[1:] = x
    z[0] = x[0] + 1j * x[1]
    return np.sum(np.abs(np.exp(1j * z) + z) ** 2)


@buffers(0.7, 1.1, -0.4)
def concatenators(x):
    a = np.r_[x, 1.0, x[0] * x[1]]
    b = np.c_[x, x**2]
    return a @ a + (b.T @ b)[0, 1]


@buffers(0.7, 1.1, -0.4)
def block_matrix(x):
    A = np.block([[np.eye(2), x[:2, None]], [x[None, :2] * 2, np.array([[x[2]]])]])
    return np.trace(A @ A @ A) + np.diag([x[0], x[1], 2]).sum()


@buffers(0.7, 1.9, 0.4)
def grids_between(x):
    t = np.linspace(x[0], x[1], 7)
    X, Y = np.meshgrid(t, np.geomspace(x[2], 4, 3))
    return np.trapezoid(np.exp(-t) * x[2], t) + (X * Y).sum()


@buffers(0.7, 1.9, 0.4)
def from_function(x):
    a = np.fromfunction(lambda i, j: x[0] * i + x[1] * j**2, (3, 3))
    b = np.fromiter((v**3 for v in x), float)
    return a[2] @ b


@buffers(0.7, 1.9, 0.4)
def vectorized(x):
    energy = np.vectorize(lambda v: v**2 if v > 1 else np.sin(v))
    return energy(x).sum() + np.apply_along_axis(lambda r: r @ r, 1, np.outer(x, x)).sum()


@buffers(0.7, 1.9, 0.4)
def lists_as_operands(x):
    return np.sum([np.exp(x[0]), x[1]]) * np.hypot([x[0], 1.0], x[1:])[0] + np.interp(0.5, [0.0, 1.0], [x[0], x[2]])
