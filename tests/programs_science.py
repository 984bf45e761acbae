"""Plain NumPy programs: small models, and how they are written. They know nothing of differentiation."""

from collections import namedtuple
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from programs import at

# -- control flow and containers

flow = partial(at, "control flow")


@flow(2.0, 0.5)
def newton_root(x):
    z = 1.0
    while abs(z**3 + x[1] * z - x[0]) > 1e-13:
        z = z - (z**3 + x[1] * z - x[0]) / (3 * z**2 + x[1])
    return z


@flow(1.0, 0.5)
def grow_until(x):
    n, s = 0, x[0]
    while s < 100.0 and n < 50:
        s = s * 1.5 + x[1]
        n += 1
    return s / n


@flow(1.0, 3.0)
def arithmetic_geometric_mean(x):
    a, g = x
    for _ in range(30):
        a, g = (a + g) / 2, np.sqrt(a * g)
        if np.isclose(a, g, rtol=1e-15):
            break
    return np.pi / (2 * a)


@flow(0.3, 1.4, -0.8)
def branches(x):
    total = 0.0
    for v in x:
        if v > 1:
            total += v**2
        elif v < 0:
            total += np.cos(v) * max(x)
        else:
            total -= v * min(x[0], x[1])
    return total


@flow(0.3, 1.4, -0.8)
def legendre_recursion(x):
    def p(n, t):
        return [1.0, t][n] if n < 2 else ((2 * n - 1) * t * p(n - 1, t) - (n - 1) * p(n - 2, t)) / n

    return sum(p(n, v) for n, v in enumerate(x, start=2))


Particle = namedtuple("Particle", "position velocity")


@flow(0.3, 1.4, -0.8, 0.2)
def named_tuples(x):
    p = Particle(x[:2], x[2:])
    for _ in range(3):
        p = p._replace(position=p.position + 0.1 * p.velocity)
        p = Particle(p.position, p.velocity - 0.1 * np.sin(p.position))
    return np.dot(*p)


@dataclass
class Oscillator:
    q: np.ndarray
    p: np.ndarray

    def step(self, dt):
        self.p -= dt * self.q**3
        self.q += dt * self.p

    @property
    def energy(self):
        return np.sum(self.p**2) / 2 + np.sum(self.q**4) / 4


@flow(0.3, 1.4, -0.8, 0.2)
def object_with_state(x):
    o = Oscillator(x[:2].copy(), np.array([x[2], x[3]]))
    for _ in range(5):
        o.step(0.1)
    return o.energy + o.q[0]


@flow(0.3, 1.4, -0.8, 0.2, 0.9, 1.0)
def dict_of_layers(x):
    layers = {"w": x[:4].reshape(2, 2), "b": x[4:]}
    h = np.ones(2)
    for _ in range(3):
        h = np.tanh(layers["w"] @ h + layers["b"])
    return reduce(lambda a, b: a * b, [h[0], h[1], *layers["b"]])


# -- mechanics and waves

physics = partial(at, "physics")


@physics(1.0, 0.2, 9.8)
def pendulum(x):
    def rhs(state):
        return np.array([state[1], -x[2] * np.sin(state[0])])

    y, h = x[:2], 0.05
    for _ in range(10):
        k1 = rhs(y)
        k2 = rhs(y + h / 2 * k1)
        k3 = rhs(y + h / 2 * k2)
        k4 = rhs(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y[0] ** 2 + y[1]


@physics(shape=8)
def heat_equation(x):
    u = x.copy()
    for _ in range(6):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0], u[-1] = u[1], 0.0
    return np.sum(u**2)


@physics(shape=(5, 5))
def poisson_relaxation(x):
    phi = np.zeros((5, 5))
    for _ in range(4):
        old = phi.copy()
        phi[1:-1, 1:-1] = (old[2:, 1:-1] + old[:-2, 1:-1] + old[1:-1, 2:] + old[1:-1, :-2] - x[1:-1, 1:-1]) / 4
        phi[0] = x[0]
    return np.sum(phi**2) + phi[1, 1] * x[4, 4] + x[1:, 0] @ x[:4, 4] + x[4] @ x[4]


@physics(shape=10)
def wave_leapfrog(x):
    u = np.zeros((6, 5))
    u[0] = x[:5]
    u[1] = x[:5] + 0.1 * x[5:]
    for n in range(1, 5):
        u[n + 1] = 2 * u[n] - u[n - 1] + 0.3 * (np.roll(u[n], 1) - 2 * u[n] + np.roll(u[n], -1))
    return (u[5] ** 3).sum()


@physics(shape=(2, 3, 2))
def n_body(x):
    q, v = x[0].copy() + np.array([[0, 0], [3, 0], [0, 4]]), x[1].copy()
    for _ in range(3):
        d = q[:, None] - q[None, :]
        r = np.sqrt((d**2).sum(axis=-1) + np.eye(3))
        v -= 0.05 * np.sum(d / r[..., None] ** 3, axis=1)
        q += 0.05 * v
    return np.sum(v**2) / 2 + q[0, 0]


@physics(shape=(4, 2), low=-0.2, high=0.2)
def lennard_jones(x):
    energy = 0.0
    for i in range(4):
        for j in range(i):
            r = np.linalg.norm(x[i] - x[j] + np.array([i - j, i * j]))
            energy += 4 * (r**-12 - r**-6)
    return energy


@physics(shape=(3, 4))
def ising_energy(x):
    s = np.tanh(2 * x)
    return -np.sum(s * (np.roll(s, 1, axis=0) + np.roll(s, 1, axis=1))) - 0.3 * s.sum()


@physics(shape=6)
def tight_binding(x):
    H = np.diag(x) + np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
    energy, psi = np.linalg.eigh(H)
    density = (psi[:, :3] ** 2).sum(axis=1)
    return energy[:3].sum() + 0.5 * density @ density


@physics(0.8, 0.3)
def kepler_equation(x):
    mean, e = x
    E = mean
    while True:
        step = (E - e * np.sin(E) - mean) / (1 - e * np.cos(E))
        E = E - step
        if abs(step) < 1e-14:
            break
    return np.cos(E) * np.sqrt(1 - e**2)


@physics(0.9, 0.3, -1.1, 0.4)
def optical_system(x):
    def lens(f):
        return np.array([[1.0, 0.0], [-1 / f, 1.0]])

    def space(d):
        return np.array([[1.0, d], [0.0, 1.0]])

    ray = reduce(np.matmul, [space(x[3]), lens(x[2]), space(x[1]), lens(x[0])]) @ np.array([0.1, 0.2])
    return ray[0] * 10 + ray[1] ** 2


@physics(0.5, 0.2, 0.9)
def epidemic(x):
    history = np.empty((8, 3))
    history[0] = [0.99, 0.01, 0.0]
    for t in range(7):
        s, i, r = history[t]
        history[t + 1] = s - x[0] * s * i * 3, i + x[0] * s * i * 3 - x[1] * i, r + x[1] * i
    return history[:, 1].max() + history[-1, 2] * x[2]


@physics(shape=7, low=1.0, high=2.0)
def tridiagonal_solver(x):
    n = 7
    d, rhs = x + 2, np.ones(n)
    for i in range(1, n):
        w = -1 / d[i - 1]
        d[i] += w
        rhs[i] -= w * rhs[i - 1]
    u = np.empty(n)
    u[-1] = rhs[-1] / d[-1]
    for i in range(n - 2, -1, -1):
        u[i] = (rhs[i] + u[i + 1]) / d[i]
    return u @ u


@physics(0.2, 0.5, -0.4, 0.7)
def quaternion_rotation(x):
    w, a, b, c = x / np.linalg.norm(x)
    R = np.array([
        [1 - 2 * (b * b + c * c), 2 * (a * b - c * w), 2 * (a * c + b * w)],
        [2 * (a * b + c * w), 1 - 2 * (a * a + c * c), 2 * (b * c - a * w)],
        [2 * (a * c - b * w), 2 * (b * c + a * w), 1 - 2 * (a * a + b * b)],
    ])  # fmt: skip
    return R[0] @ np.array([1.0, 2.0, 3.0]) + R[2, 1] ** 2


@physics(1.2, 1.7, 0.4, 0.1)
def image_at_point(x):
    image = np.arange(16.0).reshape(4, 4) ** 1.5
    i, j = int(x[0]), int(np.floor(x[1]))
    u, v = x[0] - i, x[1] - j
    patch = image[i : i + 2, j : j + 2] * x[2]
    return np.array([1 - u, u]) @ patch @ np.array([1 - v, v]) + x[3] * u


# -- inference and learning

learning = partial(at, "inference and learning")


@learning(0.9, 0.3, 0.5, 0.2)
def kalman_filter(x):
    F, Q, R = np.array([[1.0, x[0]], [0.0, 1.0]]), np.diag(x[1:3] ** 2), x[3]
    m, P, loglik = np.zeros(2), np.eye(2), 0.0
    for z in [0.3, 1.0, 1.4]:
        m, P = F @ m, F @ P @ F.T + Q
        S, v = P[0, 0] + R, z - m[0]
        K = P[:, 0] / S
        m = m + K * v
        P -= np.outer(K, P[0])
        loglik -= 0.5 * (np.log(S) + v**2 / S)
    return loglik


@learning(0.3, -0.2, -1.0)
def gaussian_process(x):
    amplitude, length, noise = np.exp(x)
    t = np.linspace(0, 1, 6)
    y = np.sin(5 * t)
    K = amplitude * np.exp(-0.5 * (t[:, None] - t) ** 2 / length**2)
    K[np.diag_indices(6)] += noise**2
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return 0.5 * y @ alpha + np.log(np.diag(L)).sum()


@learning(shape=(5, 2))
def hidden_markov_model(x):
    A = np.exp(x[:2]) / np.exp(x[:2]).sum(axis=1, keepdims=True)
    B = np.exp(x[2:4])
    alpha = np.zeros((5, 2))
    alpha[0] = np.exp(x[4]) * B[:, 0]
    for t, o in enumerate([1, 1, 0, 1], start=1):
        alpha[t] = alpha[t - 1] @ A * B[:, o]
    return np.log(alpha[-1].sum())


@learning(shape=(2, 2))
def soft_k_means(x):
    data = np.array([[0.0, 0.2], [0.9, 1.0], [0.1, -0.3], [1.2, 0.8]])
    centers = x
    for _ in range(3):
        d = ((data[:, None] - centers) ** 2).sum(axis=2)
        w = np.exp(-3 * (d - d.min(axis=1, keepdims=True)))
        w /= w.sum(axis=1, keepdims=True)
        centers = (w.T @ data) / w.sum(axis=0)[:, None]
    return (centers[0] - centers[1]) @ np.array([1.0, 2.0])


@learning(shape=(4, 2))
def logistic_newton(x):
    y, beta = np.array([1.0, 0.0, 1.0, 1.0]), np.zeros(2)
    for _ in range(4):
        p = 1 / (1 + np.exp(-x @ beta))
        H = (x.T * (p * (1 - p))) @ x + 0.1 * np.eye(2)
        beta = beta + np.linalg.solve(H, x.T @ (y - p) - 0.1 * beta)
    return beta @ np.array([1.0, -2.0])


@learning(shape=9)
def neural_network(x):
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    h = np.maximum(X @ x[:4].reshape(2, 2) + 0.3, 0) + np.tanh(X @ x[4:6])[:, None]
    out = 1 / (1 + np.exp(-(h @ x[6:8] + x[8])))
    return -np.mean(np.log(np.where(np.array([False, True, True, False]), out, 1 - out)))


@learning(shape=(3, 3))
def softmax_regression(x):
    logits = np.array([[1.0, 0.5, -1.0], [0.2, 0.1, 2.0]]) @ x
    logits -= logits.max(axis=1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(axis=1))[:, None]
    return -logp[np.arange(2), [0, 2]].mean() + 0.01 * np.linalg.norm(x) ** 2


@learning(0.4, 1.9, 0.2, -0.3, 0.5)
def gaussian_mixture(x):
    data, means, s = np.array([0.1, 0.5, 1.8, 2.2]), x[:2], np.exp(x[2:4])
    log_weights = np.log(np.array([x[4], 1 - x[4]]))
    z = (data[:, None] - means) / s
    return np.logaddexp.reduce(log_weights - z**2 / 2 - np.log(s), axis=1).sum()


@learning(shape=(3, 3), low=0.1, high=1.0)
def stationary_distribution(x):
    P = x / x.sum(axis=1)[:, None]
    A = np.vstack([P.T - np.eye(3), np.ones(3)])
    pi = np.linalg.lstsq(A, np.array([0.0, 0, 0, 1]), rcond=None)[0]
    rank = np.full(3, 1 / 3)
    for _ in range(20):
        rank = 0.15 / 3 + 0.85 * rank @ P
    return pi @ np.array([1.0, 2.0, 4.0]) + rank[0]


@learning(0.1, 0.9, 1.4, 0.3)
def time_warping(x):
    y = np.array([0.0, 1.0, 1.1])
    D = np.full((5, 4), np.inf)
    D[0, 0] = 0.0
    for i in range(4):
        for j in range(3):
            D[i + 1, j + 1] = (x[i] - y[j]) ** 2 + min(D[i, j], D[i + 1, j], D[i, j + 1])
    return D[-1, -1] + x[0] * x[3]


@learning(0.5, -0.2, 0.4)
def autoregression(x):
    series = np.array([0.3, 0.5, 0.1, -0.2, 0.4, 0.0])
    lagged = np.column_stack([series[1:-1], series[:-2]])
    residual = series[2:] - lagged @ x[:2]
    return np.sum(residual**2) / (2 * x[2] ** 2) + 4 * np.log(x[2])


@learning(shape=(4, 4))
def total_variation(x):
    blurred = np.zeros_like(x)
    for i in range(4):
        for j in range(4):
            window = x[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            blurred[i, j] = window.mean()
    return np.abs(np.diff(blurred, axis=0)).sum() + np.sum((x - blurred) ** 2)


@learning(shape=(3, 3))
def gram_schmidt(x):
    Q = np.array(x)
    for i in range(3):
        for j in range(i):
            Q[i] -= (Q[j] @ Q[i]) * Q[j]
        Q[i] /= np.sqrt(Q[i] @ Q[i])
    return Q[2] @ np.array([1.0, 2.0, 3.0]) + Q[1, 0]
