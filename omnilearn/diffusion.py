"""The cosine diffusion of jets: schedule, perturbation, velocity target and samplers.

Continuous time t in [0, 1], velocity prediction (arXiv:2202.00512, Section 4 and Appendix D):
b = atan(e^-10), a = atan(e^10) - b, logSNR(t) = -2 ln tan(a t + b),
alpha^2 = sigmoid(logSNR), sigma^2 = sigmoid(-logSNR), v = alpha eps - sigma x.

A sampler is called with velocity(x, time), time () -> velocity of the shape of x (B, ..., F), pure
noise of that shape, and the number of steps. Called inside a compiled function, its steps are one
loop of the graph.
"""

import math
from collections.abc import Callable, Iterable, Sequence

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


def guided(velocity: Callable, strength: float, condition, nothing) -> Callable:
    """velocity(x, time) = (1 + w) v(condition) - w v(nothing), w the strength.

    Classifier-free guidance, arXiv:2207.12598, Eq. 6, for velocity(x, time, condition). With
    strength 0 the network is evaluated once.
    """
    if strength == 0:
        return lambda x, time: velocity(x, time, condition)
    return lambda x, time: (
        (1 + strength) * velocity(x, time, condition) - strength * velocity(x, time, nothing)
    )


def sample_deterministic(velocity: Callable, noise, steps: int):
    """Second-order deterministic sampling from pure noise, as released: two evaluations a step.

    The noise predicted at the midpoint t - 1/(2 steps) replaces that predicted at t. Returns the
    last predicted clean sample. Raises ValueError without a step.
    """
    times = table((step / steps, (step - 0.5) / steps, (step - 1) / steps) for step in down(steps))

    def body(index, state):
        x, _ = state
        time, midpoint, after = row_of(times, index)
        clean, eps = denoise(x, velocity(x, time), time)
        alpha, sigma = alpha_sigma(midpoint)
        at_midpoint = alpha * clean + sigma * eps
        eps = denoise(at_midpoint, velocity(at_midpoint, midpoint), midpoint)[1]
        alpha, sigma = alpha_sigma(time)
        clean = (x - sigma * eps) / alpha
        alpha, sigma = alpha_sigma(after)
        return alpha * clean + sigma * eps, clean

    return ops.fori_loop(0, steps, body, (noise, noise))[1]


def exact_alpha_sigma(time: float) -> tuple[float, float, float]:
    """alpha, sigma and ln(alpha/sigma) in double precision, also where tan is steep (t = 1)."""
    angle = SLOPE * time + OFFSET
    return math.cos(angle), math.sin(angle), -math.log(math.tan(angle))


def sample_multistep(velocity: Callable, noise, steps: int):
    """DPM-Solver++(2M), arXiv:2211.01095, Algorithm 2: one evaluation a step, second order.

    Steps are equal in time. The last step is of first order and ends on the clean sample. Raises
    ValueError without a step.
    """
    rows, width_before = [], math.inf
    for step in down(steps):
        alpha, sigma, ratio = exact_alpha_sigma(step / steps)
        scale = replaced = slope = 0.0  # after the last step, x is not used
        if step > 1:
            alpha_after, sigma_after, ratio_after = exact_alpha_sigma((step - 1) / steps)
            width = ratio_after - ratio
            scale, replaced = sigma_after / sigma, alpha_after * math.expm1(-width)
            slope, width_before = width / (2 * width_before), width
        rows.append((step / steps, alpha, sigma, scale, replaced, slope))
    coefficients = table(rows)

    def body(index, state):
        x, clean_before = state
        time, alpha, sigma, scale, replaced, slope = row_of(coefficients, index)
        clean = alpha * x - sigma * velocity(x, time)
        extrapolated = clean + (clean - clean_before) * slope
        return scale * x - replaced * extrapolated, clean

    return ops.fori_loop(0, steps, body, (noise, noise))[1]


def sample_stochastic(velocity: Callable, noise, steps: int, fresh_noise: Callable):
    """Ancestral sampling: every step draws from the posterior of x given the clean sample.

    One evaluation a step, first order (arXiv:2006.11239, Eqs. 6 and 7, in continuous time as in
    arXiv:2211.01095, Eq. 18). fresh_noise(step) -> Gaussian numbers of the shape of noise, for
    step = `steps` to 1; those of the last step have no effect. Raises ValueError without a step.
    """
    rows = []
    for step in down(steps):
        alpha, sigma, ratio = exact_alpha_sigma(step / steps)
        kept, moved, width_of_noise = 0.0, 1.0, 0.0  # the last step ends on the clean sample
        if step > 1:
            alpha_after, sigma_after, ratio_after = exact_alpha_sigma((step - 1) / steps)
            width = ratio_after - ratio
            replaced = -math.expm1(-2 * width)  # share of the noise variance that is drawn anew
            kept = (sigma_after / sigma) * math.exp(-width)
            moved, width_of_noise = alpha_after * replaced, sigma_after * math.sqrt(replaced)
        rows.append((step / steps, alpha, sigma, kept, moved, width_of_noise))
    coefficients = table(rows)

    def body(index, state):
        (x,) = state
        time, alpha, sigma, kept, moved, width_of_noise = row_of(coefficients, index)
        clean = alpha * x - sigma * velocity(x, time)
        return (kept * x + moved * clean + width_of_noise * fresh_noise(steps - index),)

    return ops.fori_loop(0, steps, body, (noise,))[0]


def down(steps: int) -> range:
    """Numbers of the steps, from pure noise to the clean sample; ValueError without a step."""
    if steps < 1:
        raise ValueError(f"{steps} steps; expected 1 or more")
    return range(steps, 0, -1)


def table(rows: Iterable[Sequence[float]]):
    """Coefficients of every step, a row each."""
    return ops.convert_to_tensor(list(rows), "float32")


def row_of(coefficients, index) -> list:
    """The coefficients of one step."""
    return ops.unstack(ops.take(coefficients, index, axis=0))


# evaluations of the network per step
EVALUATIONS = {"released": 2, "multistep": 1, "stochastic": 1}


def sample(solver: str, velocity: Callable, noise, steps: int, fresh_noise: Callable):
    """A sample by the solver of this name; only "stochastic" uses `fresh_noise`."""
    if solver == "stochastic":
        return sample_stochastic(velocity, noise, steps, fresh_noise)
    deterministic = {"released": sample_deterministic, "multistep": sample_multistep}[solver]
    return deterministic(velocity, noise, steps)
