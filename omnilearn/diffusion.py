"""The cosine diffusion of jets: schedule, perturbation, velocity target and sampler, once for all.

Continuous time t in [0, 1], velocity prediction (arXiv:2202.00512, Section 4 and Appendix D):
b = atan(e^-10), a = atan(e^10) - b, logSNR(t) = -2 ln tan(a t + b),
alpha^2 = sigmoid(logSNR), sigma^2 = sigmoid(-logSNR), v = alpha eps - sigma x.
"""

import math
from collections.abc import Callable

from keras import ops

LOG_SNR_MAX = 20.0
OFFSET = math.atan(math.exp(-LOG_SNR_MAX / 2))
SLOPE = math.atan(math.exp(LOG_SNR_MAX / 2)) - OFFSET


def log_snr(time):
    """Logarithm of the signal-to-noise ratio at time (...,): 20 at t = 0, -20 at t = 1."""
    return -2.0 * ops.log(ops.tan(SLOPE * time + OFFSET))


def alpha_sigma(time):
    """Signal and noise amplitudes at time (...,); their squares sum to one."""
    snr = log_snr(time)
    return ops.sqrt(ops.sigmoid(snr)), ops.sqrt(ops.sigmoid(-snr))


def perturb(x, noise, time):
    """x, noise (B, ..., F), time (B, 1) -> alpha x + sigma eps, velocity alpha eps - sigma x."""
    alpha, sigma = alpha_sigma(ops.reshape(time, (-1, *[1] * (len(x.shape) - 1))))
    return alpha * x + sigma * noise, alpha * noise - sigma * x


def denoise(x, velocity, time):
    """Clean part and noise of x at `time`, given the velocity: x0 = alpha x - sigma v."""
    alpha, sigma = alpha_sigma(time)
    return alpha * x - sigma * velocity, sigma * x + alpha * velocity


def sample_deterministic(velocity: Callable, noise, steps: int):
    """Second-order deterministic sampling from pure noise, as released: two evaluations a step.

    velocity(x, time) with time a Python float -> velocity of the shape of noise (B, ..., F). The
    noise found at the midpoint t - 1/(2 steps) replaces the one found at t. Returns the last
    predicted clean sample.
    """
    x = clean = noise
    for step in range(steps, 0, -1):
        time, midpoint, after = step / steps, (step - 0.5) / steps, (step - 1) / steps
        clean, eps = denoise(x, velocity(x, time), time)
        alpha, sigma = alpha_sigma(midpoint)
        at_midpoint = alpha * clean + sigma * eps
        eps = denoise(at_midpoint, velocity(at_midpoint, midpoint), midpoint)[1]
        alpha, sigma = alpha_sigma(time)
        clean = (x - sigma * eps) / alpha
        alpha, sigma = alpha_sigma(after)
        x = alpha * clean + sigma * eps
    return clean
