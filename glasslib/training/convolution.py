"""SevenNet's convolutions on a processor without accelerator: gather, tensor product, weights and sum over neighbours in one pass.

The tensor product of features and spherical harmonics is a small matrix for every edge and path, the same for all channels, so that what e3nn writes
out for every edge and channel (tens of megabytes, several times over) never leaves the cache here. Weights depend on distances, so that both edges of a
pair of atoms share theirs. First derivatives only.
"""

from types import MethodType

import numba
import numpy as np
import torch

FAST = {"contract", "reassoc", "nsz"}


def fuse(network):
    """Let the convolutions of a SevenNet network run so; weights, names and results stay (to rounding)."""
    from sevenn.nn.convolution import IrrepsConvolution

    for module in network.modules():
        if isinstance(module, IrrepsConvolution):
            module.plan = Plan(module.convolution)
            module.forward = MethodType(_forward, module)


def _forward(self, data):
    """What `IrrepsConvolution.forward` does."""
    to, source = data[self.key_edge_idx]
    weight = self.weight_nn(data[self.key_weight_input][data["first"]])
    matrices = data[self.key_filter] @ self.plan.coefficients
    x = data[self.key_x][:, self.plan.by_component]
    summed = Product.apply(x, matrices, weight, data["pair"], source, to, self.plan)
    data[self.key_x] = summed[:, self.plan.by_channel] / self.denominator
    return data


def paired(edge_index, edge_vec):
    """For edges of two atoms and a vector, both directions of each: the pair of every edge [edges], and an edge of every pair [pairs].

    Edges whose vectors are not each other's opposite to the last bit are pairs of their own.
    """
    left, right = edge_index.numpy()
    vector = edge_vec.numpy()
    signs = np.sign(np.column_stack([right - left, vector]))
    turned = signs[np.arange(len(signs)), np.argmax(signs != 0, 1)] < 0  # the first that is not zero decides
    ends = np.where(turned, (right, left), (left, right))
    keys = np.column_stack([*ends, np.where(turned[:, None], -vector, vector)])
    _, first, pair = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return torch.from_numpy(pair.reshape(-1)), torch.from_numpy(first)


class Plan:
    """How a tensor product of e3nn, "uvu" with weights of edges, is done path by path.

    Attributes
    ----------
    paths : array [paths, 7]
        Channels, components before and after, and where its features, weights, sums and matrix begin.
    coefficients : torch.Tensor [components of the harmonics, matrix elements of all paths]
        From the product itself, so that its normalisation is in them.
    by_component, by_channel : torch.Tensor
        Orders of features [component, channel] out of e3nn's [channel, component], and of sums back.
    """

    def __init__(self, product):
        into, out, harmonics = product.irreps_in1, product.irreps_out, product.irreps_in2.dim
        begins, ends = (np.cumsum([0] + [one.dim for one in irreps]) for irreps in (into, out))
        paths, coefficients, weight, matrix = [], [], 0, 0
        each = torch.eye(harmonics)
        for step in product.instructions:
            (channels, kind), after = into[step.i_in1], out[step.i_out].ir.dim
            found = torch.zeros(harmonics, kind.dim, after)
            for component in range(kind.dim):
                x = torch.zeros(harmonics, into.dim)
                x[:, begins[step.i_in1] + component] = 1.0  # of the first channel
                made = product(x, each, torch.ones(harmonics, product.weight_numel))
                found[:, component] = made[:, ends[step.i_out] : ends[step.i_out] + after].detach()
            coefficients.append(found.reshape(harmonics, -1))
            paths.append((channels, kind.dim, after, begins[step.i_in1], weight, ends[step.i_out], matrix))
            weight, matrix = weight + channels, matrix + kind.dim * after
        self.paths, self.coefficients = np.array(paths, np.int64), torch.cat(coefficients, 1)
        self.by_component, self.by_channel = _turned(into), torch.argsort(_turned(out))


def _turned(irreps):
    """Indices that put features of each kind from [channel, component] to [component, channel]."""
    places = torch.arange(irreps.dim).split([one.dim for one in irreps])
    return torch.cat([one.view(kind.mul, -1).T.reshape(-1) for one, kind in zip(places, irreps, strict=True)])


class Product(torch.autograd.Function):
    """Sums [atoms, …] over neighbours from features [atoms, …], matrices [edges, …] and weights [pairs, …]."""

    @staticmethod
    def forward(context, x, matrices, weight, pair, source, to, plan):
        arrays = [t.detach().contiguous().numpy() for t in (x, matrices, weight, pair, source, to)]
        context.arrays, context.paths = arrays, plan.paths
        sums = np.zeros((len(x), len(plan.by_channel)), np.float32)
        _products(*arrays, plan.paths, sums)
        return torch.from_numpy(sums)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, by_sums):
        x, matrices, weight, *_ = context.arrays
        found = np.zeros_like(x), np.empty_like(matrices), np.zeros_like(weight)
        _derivatives(*context.arrays, context.paths, by_sums.contiguous().numpy(), *found)
        return *map(torch.from_numpy, found), None, None, None, None


@numba.njit(fastmath=FAST, cache=True)
def _products(x, matrices, weight, pair, source, to, paths, sums):
    for edge in range(len(to)):
        for channels, before, after, at_x, at_weight, at_sum, at_matrix in paths:
            m = matrices[edge, at_matrix : at_matrix + before * after]
            w = weight[pair[edge], at_weight : at_weight + channels]
            for c in range(after):
                s = sums[to[edge], at_sum + c * channels : at_sum + (c + 1) * channels]
                for k in range(before):
                    f = x[source[edge], at_x + k * channels : at_x + (k + 1) * channels]
                    mk = m[k * after + c]
                    for u in range(channels):
                        s[u] += mk * w[u] * f[u]


@numba.njit(fastmath=FAST, cache=True)
def _derivatives(x, matrices, weight, pair, source, to, paths, by_sums, by_x, by_matrices, by_weight):
    for edge in range(len(to)):
        for channels, before, after, at_x, at_weight, at_sum, at_matrix in paths:
            m = matrices[edge, at_matrix : at_matrix + before * after]
            d = by_matrices[edge, at_matrix : at_matrix + before * after]
            w = weight[pair[edge], at_weight : at_weight + channels]
            v = by_weight[pair[edge], at_weight : at_weight + channels]
            for c in range(after):
                g = by_sums[to[edge], at_sum + c * channels : at_sum + (c + 1) * channels]
                for k in range(before):
                    f = x[source[edge], at_x + k * channels : at_x + (k + 1) * channels]
                    y = by_x[source[edge], at_x + k * channels : at_x + (k + 1) * channels]
                    mk, total = m[k * after + c], np.float32(0.0)
                    for u in range(channels):
                        h = w[u] * g[u]
                        v[u] += mk * f[u] * g[u]
                        y[u] += mk * h
                        total += f[u] * h
                    d[k * after + c] = total
