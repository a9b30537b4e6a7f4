"""Least squares of the move on the features, and how far its coefficients can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ridge_coefficients(z: Floats, y: Floats, ridge: float) -> Floats:
    """Coefficients of y on the columns of z, no intercept: the strategy's pressure has none either.

    The penalty is `ridge` times the mean square of a column, so that it means the same for any features.
    A column that never moves gets 0.
    """
    moments = z.T @ z / len(z)
    usual = float(np.trace(moments)) / max(1, int(np.count_nonzero(np.diag(moments))))
    if not usual > 0.0:
        return np.zeros(z.shape[1])
    penalised = moments + np.diag(np.full(z.shape[1], ridge * usual))
    silent = np.diag(moments) == 0.0
    penalised[silent, silent] += usual  # keeps the system regular whatever the penalty is
    return np.asarray(np.linalg.solve(penalised, z.T @ y / len(z)))


def hac_t_values(z: Floats, y: Floats, coefficients: Floats, lags: int, ridge: float) -> Floats:
    """t values by Newey & West (1987): the labels of `lags` rows in a row overlap and are no news.

    NaN for a column that never moves.
    """
    residual_z = z * (y - z @ coefficients)[:, None]
    middle = residual_z.T @ residual_z
    for lag in range(1, min(lags, len(z) - 1) + 1):
        weight = 1.0 - lag / (lags + 1.0)
        cross = residual_z[lag:].T @ residual_z[:-lag]
        middle += weight * (cross + cross.T)
    moving = np.flatnonzero((z * z).sum(axis=0) > 0.0)
    t_values = np.full(z.shape[1], np.nan)
    if not moving.size:
        return t_values
    gram = z[:, moving].T @ z[:, moving]
    gram += np.diag(np.full(moving.size, ridge * float(np.trace(gram)) / moving.size))
    bread = np.linalg.inv(gram)
    variance = np.diag(bread @ middle[np.ix_(moving, moving)] @ bread)
    positive = variance > 0.0
    t_values[moving[positive]] = coefficients[moving[positive]] / np.sqrt(variance[positive])
    return t_values


def unit_weights(coefficients: Floats) -> tuple[Floats, float]:
    """(weights whose absolute values add up to 1, their scale); zeros and 0 when there is nothing."""
    scale = float(np.abs(coefficients).sum())
    if not scale > 0.0:
        return np.zeros_like(coefficients), 0.0
    return coefficients / scale, scale
