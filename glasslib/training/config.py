"""Everything that a training run can be told, in one place."""

import math
from dataclasses import asdict, dataclass, fields

from ..errors import GlasslibError
from .optimiser import OPTIMISERS

ENGINES = ("fast", "reference")
LANES = 16  # features that the compiled loops work on at a time


@dataclass(frozen=True)
class TrainConfig:
    """Parameters of a training run; the defaults suit a few hundred frames of 50 to 100 atoms.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols that the potential knows.
    features, interactions, radial : int
        Size of the network: features an atom, message-passing layers, radial functions.
    cutoff : float
        Å.
    epochs, batch : int
        Passes over the training frames; frames in one step of the optimiser.
    rate, rate_floor : float
        Learning rate after the warm-up, and the fraction of it that the cosine decay ends at.
    warmup : int
        Steps over which the learning rate rises linearly from zero.
    decay : float
        Weight decay, apart from the gradient.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the exponential moving average of the weights, which is what is validated and kept.
    energy_weight, force_weight, virial_weight : float
        Weights of the squared errors of the energy and the virial an atom (eV) and of the force components (eV/Å).
    huber : float
        Force errors beyond this many eV/Å count linearly; 0 keeps them squared.
    patience : int
        Epochs without a better validation loss after which training stops; 0 never stops early.
    keep_every : int
        Epochs between two checkpoints.
    optimiser : str
        "adamw", or "muon": matrices by Muon, all else by AdamW; learns faster in long trainings.
    engine : str
        "fast" (first-order passes through compiled kernels) or "reference" (plain PyTorch, differentiated twice).
    seed : int
        Of the first weights and of the order of frames.
    """

    species: tuple = ("O", "Na", "Si")
    features: int = 64
    interactions: int = 3
    radial: int = 20
    cutoff: float = 5.0
    epochs: int = 300
    batch: int = 4
    rate: float = 1e-3
    rate_floor: float = 0.01
    warmup: int = 100
    decay: float = 1e-4
    clip: float = 10.0
    average: float = 0.995
    energy_weight: float = 50.0
    force_weight: float = 1.0
    virial_weight: float = 5.0
    huber: float = 0.0
    patience: int = 0
    keep_every: int = 1
    optimiser: str = "adamw"
    engine: str = "fast"
    seed: int = 0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            kind = type(field.default)
            if kind is float and type(value) is int:
                value = float(value)
            if kind is tuple and isinstance(value, list):
                value = tuple(value)
            if type(value) is not kind:
                raise GlasslibError(f"training parameter {field.name!r} must be a {kind.__name__}, not {value!r}")
            object.__setattr__(self, field.name, value)
        if not self.species or not all(isinstance(symbol, str) for symbol in self.species):
            raise GlasslibError(f"training parameter 'species' must list chemical symbols, not {self.species!r}")
        for name, known in (("engine", ENGINES), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in known:
                raise GlasslibError(
                    f"training parameter {name!r} must be one of {', '.join(known)}, not {getattr(self, name)!r}"
                )
        if self.engine == "fast" and self.features % LANES:
            raise GlasslibError(
                f"training parameter 'features' must be a multiple of {LANES} for engine 'fast', not {self.features}"
            )
        for name in ("features", "interactions", "radial", "epochs", "batch", "keep_every"):
            self._above(name, 1)
        for name in (
            "warmup",
            "patience",
            "seed",
            "decay",
            "huber",
            "energy_weight",
            "force_weight",
            "virial_weight",
            "average",
        ):
            self._above(name, 0)
        for name in ("cutoff", "rate", "clip"):
            self._above(name, 1e-12)
        if not self.average < 1:
            raise GlasslibError(f"training parameter 'average' must be below 1, not {self.average!r}")
        if not 0 <= self.rate_floor <= 1:
            raise GlasslibError(f"training parameter 'rate_floor' must be between 0 and 1, not {self.rate_floor!r}")
        if self.energy_weight + self.force_weight + self.virial_weight == 0:
            raise GlasslibError(
                "training parameters 'energy_weight', 'force_weight' and 'virial_weight' are all 0: nothing to learn"
            )

    def _above(self, name, least):
        value = getattr(self, name)
        if not math.isfinite(value) or value < least:
            raise GlasslibError(f"training parameter {name!r} must be a number not below {least:g}, not {value!r}")

    @classmethod
    def of(cls, parameters):
        """A TrainConfig from a mapping (a profile, a JSON file); GlasslibError names an unknown key."""
        known = [field.name for field in fields(cls)]
        for key in parameters:
            if key not in known:
                raise GlasslibError(f"unknown training parameter {key!r}: known are {', '.join(known)}")
        return cls(**parameters)

    def asdict(self):
        """As a dict fit for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
