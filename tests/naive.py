"""Slow, obviously right versions in float64 of what the kernels compute."""

from __future__ import annotations

import math

import numpy as np


def solve_row(
    x, y, fidelity, precision, mean, current, *, scale=1.0, alternating=False, damping=1.0
):
    """Return the new ``[bias, factors]`` of one row.

    `x` is (n, D) with a leading column of ones, `y` (n,) the ratings less mean and other bias.
    """
    a = fidelity * x.T @ x + scale * precision
    b = fidelity * x.T @ y + scale * precision @ mean
    if alternating:
        w = np.array(current, dtype=np.float64)
        w[0] = (b[0] - a[0, 1:] @ w[1:]) / a[0, 0]
        w[1:] = np.linalg.solve(a[1:, 1:], b[1:] - a[1:, 0] * w[0])
    else:
        w = np.linalg.solve(a, b)
    return current + damping * (w - current)


class Naive:
    """Biases and factors of both sides, fitted one row at a time."""

    def __init__(
        self, triples, n_users, n_items, user_rows, item_rows, config, mean, features=None
    ):
        self.triples = triples
        self.weights = {"users": np.array(user_rows, float), "items": np.array(item_rows, float)}
        self.counts = {"users": n_users, "items": n_items}
        self.config = config
        self.mean = mean if config.centre else 0.0
        self.features = features  # of the items, what their prior mean follows

    def ratings_of(self, side, row):
        """Return the other side's row numbers and the ratings of one row."""
        users, items, ratings = self.triples
        own, other = (users, items) if side == "users" else (items, users)
        here = own == row
        return other[here], ratings[here]

    def precision(self, side):
        """Return the diagonal of the prior's precision."""
        c = self.config
        bias_reg, factor_reg = c.bias_reg, c.factor_reg
        if side == "items" and c.item_bias_reg is not None:
            bias_reg = c.item_bias_reg
        if side == "items" and c.item_factor_reg is not None:
            factor_reg = c.item_factor_reg
        return np.array([bias_reg] + [factor_reg] * c.n_factors)

    def feature_weights(self):
        """Return the weights of the features that the items' rows say, by stacked least squares."""
        n = np.array([len(self.ratings_of("items", i)[0]) for i in range(self.counts["items"])])
        rated = n > 0
        f, w = self.features[rated], self.weights["items"][rated]
        found = []
        for k, own in enumerate(self.precision("items")):
            root = np.sqrt(own * n[rated] ** self.config.reg_scaling)
            own_rows = np.vstack(
                [root[:, None] * f, np.sqrt(self.config.weight_reg) * np.eye(f.shape[1])]
            )
            wanted = np.append(root * w[:, k], np.zeros(f.shape[1]))
            found.append(np.linalg.lstsq(own_rows, wanted, rcond=None)[0])
        return np.array(found).T

    def prior_means(self, side):
        """Return what each row is drawn to."""
        if side == "users" or self.features is None:
            return np.zeros_like(self.weights[side])
        return self.features @ self.feature_weights()

    def half_step(self, side):
        """Solve each row of a side against the other."""
        c = self.config
        precision, means = np.diag(self.precision(side)), self.prior_means(side)
        fixed = self.weights["items" if side == "users" else "users"]
        solved = self.weights[side].copy()
        for row in range(self.counts[side]):
            other, ratings = self.ratings_of(side, row)
            x = np.column_stack([np.ones(len(other)), fixed[other, 1:]])
            y = ratings - self.mean - fixed[other, 0]
            solved[row] = solve_row(
                x, y, c.fidelity, precision, means[row], self.weights[side][row],
                scale=max(len(other), 1) ** c.reg_scaling,
                alternating=c.update == "alternating", damping=c.damping,
            )  # fmt: skip
        self.weights[side] = solved

    def predict(self, users, items):
        """Return ``mean + b_u + b_i + p . q`` of pairs of rows."""
        p, q = self.weights["users"][users], self.weights["items"][items]
        return self.mean + p[:, 0] + q[:, 0] + (p[:, 1:] * q[:, 1:]).sum(axis=1)

    def squared_error(self):
        """Return the squared training error."""
        users, items, ratings = self.triples
        return ((ratings - self.predict(users, items)) ** 2).sum()

    def objective(self):
        """Return the full regularised objective."""
        c = self.config
        total = c.fidelity * self.squared_error()
        for side, w in self.weights.items():
            n = np.array([max(len(self.ratings_of(side, r)[0]), 1) for r in range(len(w))])
            total += (n**c.reg_scaling * (w**2 @ self.precision(side))).sum()
        return total / 2


def bpr_gradient(user, positive, negative, user_reg, item_reg, bias_reg):
    """Return the gradient of ``ln s(x_i - x_j)`` less the regularisation, for each of three rows.

    A row is ``[bias, factors]``, and the user's bias is none; the penalty is half the squares.
    """
    reg = np.full(len(user), float(item_reg))
    reg[0] = bias_reg
    gap = positive[0] - negative[0] + user[1:] @ (positive[1:] - negative[1:])
    wrong = 1 / (1 + np.exp(gap))
    facing = np.concatenate([[1.0], user[1:]])
    own = wrong * (positive - negative) - user_reg * user
    own[0] = 0.0
    return own, wrong * facing - reg * positive, -wrong * facing - reg * negative


def user_noise_density(n, squared, degrees, precision):
    """Return the log-density of errors, but for a constant, of users whose noise is gamma."""
    half, total = degrees / 2, 0.0
    for count, own in zip(n, squared, strict=True):
        prior = half * math.log(half / precision) - math.lgamma(half)
        shape, rate = half + count / 2, half / precision + own / 2
        total += prior + math.lgamma(shape) - shape * math.log(rate)
    return total


class NaiveGibbs:
    """The sampler of `Bayes` in float64, one row at a time, with a generator of its own.

    Where the noise is by user, it is drawn given degrees of freedom that are drawn before.
    """

    def __init__(self, triples, n_users, n_items, n_factors, mean, seed, by_user=False):
        self.triples = triples
        self.mean = mean
        self.random = np.random.default_rng(seed)
        d = n_factors + 1
        self.rows = [0.1 * self.random.normal(size=(n, d)) for n in (n_users, n_items)]
        self.noise_precision = 1.0
        self.by_user = by_user
        self.of_users = np.ones(n_users)

    def draw_prior(self, rows):
        """Return precision and mean, drawn from the Normal-Wishart posterior (Bishop 2006)."""
        n, d = rows.shape
        centre = rows.mean(axis=0)
        spread = (rows - centre).T @ (rows - centre)
        inverse = np.eye(d) + spread + 2 * n / (2 + n) * np.outer(centre, centre)
        scale = np.linalg.inv(inverse)
        draws = self.random.multivariate_normal(np.zeros(d), (scale + scale.T) / 2, size=d + n)
        precision = draws.T @ draws
        covariance = np.linalg.inv((2 + n) * precision)
        return precision, self.random.multivariate_normal(n * centre / (2 + n), covariance)

    def sweep(self):
        """Draw priors, rows and noise once."""
        users, items, ratings = self.triples
        for side, (own, other) in enumerate([(users, items), (items, users)]):
            seen = np.unique(own)
            precision, mean = self.draw_prior(self.rows[side][seen])
            fixed = self.rows[1 - side]
            for row in range(len(self.rows[side])):
                here = own == row
                x = np.column_stack([np.ones(here.sum()), fixed[other[here], 1:]])
                y = ratings[here] - self.mean - fixed[other[here], 0]
                weights = self.of_users[users[here]]
                a = precision + x.T @ (weights[:, None] * x)
                b = precision @ mean + x.T @ (weights * y)
                spread = np.linalg.cholesky(np.linalg.inv(a))
                noise = self.random.normal(size=len(b))
                self.rows[side][row] = np.linalg.solve(a, b) + spread @ noise
        error = ratings - self.predict()[users, items]
        if self.by_user:
            self.draw_noise(users, error)
            return
        shape, rate = 1 + len(error) / 2, 1 + (error**2).sum() / 2
        self.noise_precision = self.random.gamma(shape) / rate
        self.of_users[:] = self.noise_precision

    def draw_noise(self, users, error):
        """Draw degrees of freedom, each user's precision, and their mean, one after the other."""
        grid = np.geomspace(3, 1000, 40)
        n = [np.sum(users == user) for user in range(len(self.of_users))]
        squared = [np.sum(error[users == user] ** 2) for user in range(len(self.of_users))]
        each = n, squared
        logs = [user_noise_density(*each, degrees, self.noise_precision) for degrees in grid]
        shares = np.exp(np.array(logs) - max(logs))
        half = self.random.choice(grid, p=shares / shares.sum()) / 2
        for user, (count, total) in enumerate(zip(*each, strict=True)):
            rate = half / self.noise_precision + total / 2
            self.of_users[user] = self.random.gamma(half + count / 2) / rate
        grid = self.noise_precision * np.geomspace(0.25, 4, 4001)
        users = len(n)
        logs = -(users * half) * np.log(grid) - half * self.of_users.sum() / grid - grid
        shares = grid * np.exp(logs - logs.max())
        self.noise_precision = self.random.choice(grid, p=shares / shares.sum())

    def predict(self):
        """Return the predictions of all pairs, (n_users, n_items)."""
        p, q = self.rows
        return self.mean + p[:, :1] + q[:, 0] + p[:, 1:] @ q[:, 1:].T


def values_of_pairs(frame, repeats):
    """Return what is left of rows of `user_id`, `item_id`, `rating` and, if any, `timestamp`.

    A line a pair: its latest rating, the sum of its ratings, or the number of its rows.
    """
    pair = ["user_id", "item_id"]
    if "timestamp" in frame:
        frame = frame.sort_values("timestamp", kind="stable")
    if repeats == "sum":
        frame = frame[frame["rating"] != 0]
    rules = {"rating": {"latest": "last"}.get(repeats, repeats), "timestamp": "max"}
    rules = {name: rule for name, rule in rules.items() if name in frame}
    return frame.groupby(pair, as_index=False).agg(rules).astype({"rating": "float32"})


def events_of_pairs(frame, repeats):
    """Return the events of pairs that occur at several seconds, each with its value.

    Rows of a pair in the same second are one event, of the value that the rule gives them.
    """
    if repeats == "sum":
        frame = frame[frame["rating"] != 0]
    key = ["user_id", "item_id", "timestamp"]
    rule = {"latest": "last"}.get(repeats, repeats)
    events = frame.groupby(key, as_index=False).agg({"rating": rule})
    several = events.groupby(key[:2])["rating"].transform("size") > 1
    return events[several].astype({"rating": "float32"})[[*key[:2], "rating", "timestamp"]]


class NaiveIALS:
    """Implicit-feedback ALS in float64, over the dense matrix of all pairs.

    `weights` is (users, items), what each observed pair weighs and 0 elsewhere.
    """

    def __init__(self, weights, users, items, config):
        self.weights = {"users": np.asarray(weights, float), "items": np.asarray(weights, float).T}
        self.rows = {"users": np.array(users, float), "items": np.array(items, float)}
        self.config = config

    def strengths(self, side):
        """Return the regularisation of each row."""
        c, weights = self.config, self.weights[side]
        n = (weights > 0).sum(axis=1) + c.unrated_weight * weights.shape[1]
        return c.factor_reg * n**c.reg_scaling

    def half_step(self, side):
        """Solve each row of a side against the other."""
        fixed = self.rows["items" if side == "users" else "users"]
        crowd = self.config.unrated_weight * fixed.T @ fixed
        for row, (c, own) in enumerate(zip(self.weights[side], self.strengths(side), strict=True)):
            system = (fixed.T * c) @ fixed + crowd + own * np.eye(fixed.shape[1])
            self.rows[side][row] = np.linalg.solve(system, fixed.T @ c)

    def objective(self):
        """Return the objective, pair by pair."""
        scores = self.rows["users"] @ self.rows["items"].T
        total = (self.weights["users"] * (scores - 1) ** 2).sum()
        total += self.config.unrated_weight * (scores**2).sum()
        for side, rows in self.rows.items():
            total += self.strengths(side) @ (rows**2).sum(axis=1)
        return total


def rated_features(matrix):
    """Return the constant 1, and for each pair that is rated one over the root of the row's n."""
    rated = (np.asarray(matrix) != 0).astype(float)
    n = np.maximum(rated.sum(axis=1, keepdims=True), 1)
    return np.hstack([np.ones((len(rated), 1)), rated / np.sqrt(n)])


def regress(features, rows, scale, strength):
    """Return the weights whose penalty ``strength * W**2`` joins ``scale * (rows - F W)**2``."""
    system = (features.T * scale) @ features + np.diag(strength)
    return np.linalg.solve(system, (features.T * scale) @ rows)


def offset_posterior(residuals, groups, n_groups, fidelity, precision):
    """Return mean and variance of each group's offset, which is normal around 0 beforehand."""
    mean, variance = np.zeros(n_groups), np.zeros(n_groups)
    for group in range(n_groups):
        own = np.asarray(residuals, np.float64)[groups == group]
        variance[group] = 1 / (precision + fidelity * len(own))
        mean[group] = fidelity * own.sum() * variance[group]
    return mean, variance
