"""What moves the weights: Muon (Jordan et al., 2024) for matrices, AdamW (Loshchilov and Hutter, ICLR, 2019) for all else, or AdamW alone."""

import torch

OPTIMISERS = ("muon", "adamw")
STATES = ("exp_avg", "exp_avg_sq", "momentum_buffer")


class Optimiser:
    """Both kinds behind one learning rate: Muon's steps are scaled to the size that AdamW's have.

    Parameters
    ----------
    weights : dict of str to torch.nn.Parameter
    config : TrainConfig
    """

    def __init__(self, weights, config):
        self.weights = weights
        muon = config.optimiser == "muon"
        matrices = [
            w for name, w in weights.items() if muon and w.ndim == 2 and min(w.shape) > 1 and "embedding" not in name
        ]
        known = {id(w) for w in matrices}
        rest = [w for w in weights.values() if id(w) not in known]
        self.parts = []
        if rest:
            self.parts.append(torch.optim.AdamW(rest, lr=config.rate, weight_decay=config.decay))
        if matrices:
            self.parts.append(
                torch.optim.Muon(matrices, lr=config.rate, weight_decay=config.decay, adjust_lr_fn="match_rms_adamw")
            )

    def step(self, rate):
        """Move the weights along their `.grad` with this learning rate."""
        for part in self.parts:
            part.param_groups[0]["lr"] = rate
            part.step()

    def tensors(self):
        """Moments of the weights by name, for a checkpoint."""
        return {
            f"{kind}.{name}": part.state[w][kind]
            for name, w in self.weights.items()
            for part in self.parts
            for kind in STATES
            if kind in part.state.get(w, ())
        }

    def restore(self, tensors, steps):
        """Go on from what `tensors` gave after so many steps."""
        for part in self.parts:
            ours = {id(w) for w in part.param_groups[0]["params"]}
            for name, w in self.weights.items():
                if id(w) in ours:
                    found = {kind: tensors[f"{kind}.{name}"] for kind in STATES if f"{kind}.{name}" in tensors}
                    part.state[w] = found | {"step": torch.tensor(float(steps))} if found else {}
