"""Observables of structure and of glassy dynamics, one a file: `observable(trajectory_or_replicas, **options)` → xarray.Dataset.

Each variable x has a standard error x_sem, from replicas or from blocks of time, NaN where there are fewer than two; units and options
stand in `attrs`. Times are lag times in ps that the trajectory contains, lengths in Å. What an error cannot be given for has none.

Errors of time correlations are those of the delete-one-block jackknife: at a lag t a run is cut into at most eight blocks of at least 2t
each, blocks of all replicas counting alike (five replicas or more: one block each). Beyond a quarter of a single run they are NaN.

========================= ===================== ========================== =====================================
function                  main variable         dimensions                 options
========================= ===================== ========================== =====================================
mean_squared_displacement msd                   species, time              time, origins, n_blocks, drift
diffusion_coefficient     D, slope, diffusive   species                    fit_range, level
finite_size               D_infinite, D_s       species                    of one Dataset for each size; variable
arrhenius                 E, D_0                species                    of {temperature: Dataset}
non_gaussian              alpha_2               species, time
self_intermediate_…       F_s                   species, q, time           q
coherent_intermediate_…   F, S                  pair, q, time (pair, q)    q, width, vectors
overlap                   Q                     species, a, time           a
bond_correlation          C_B                   time                       pair, cutoff
bond_exchange             changed, alpha_2_kept time                       pair, cutoff, fraction
van_hove_self             G_s, P = 4πr² G_s     species, time, r           r
van_hove_distinct         G_d                   pair, time, r              r
relaxation_time           tau, reached, bound   as the function, no time   level; of a Dataset with F_s, Q or C_B
stretched_exponential     tau_K, beta           as the function, no time   fit_range
radial_distribution       g, n                  pair, r                    r, frames
structure_factor          S                     q (pair, q for partials)   q, radiation, frames
coordination              probability, mean     coordination               pair, cutoff, frames
bond_angles               probability, mean     triplet, angle             frames
q_speciation              probability, mean     n                          cutoff, frames
rings                     rings, probability    n                          cutoff, largest, frames
four_point_susceptibility chi_4                 species, a, time           a
non_gaussian_peak         height, position      species                    smallest_time
species_order             difference, p         pair                       smallest_time
bimodality                bimodal, hop_length    species, time              time, r
hops                      rate, length, waiting  species                    interval, distance
site_reuse                other, same, random   species, time              radius, interval
decoupling                D_ratio, tau_ratio    pair (D_tau: species)      q, a, fit_range
clusters                  cluster_size, …       species, time              fraction, cutoff, time
mobility                  distance, relative    time, atom                 time, start
propensity                propensity, explained time, atom (species, time) time
dynamic_length            S_4, xi_4             species, time (q)          a, time, q_max
thermodynamics            pressure, density, …  (none)                     n_blocks
everything                name → Dataset; `save` and `load` keep them in one file, `summary` is a table as text
========================= ===================== ========================== =====================================
"""

from .arrhenius import arrhenius
from .bimodality import bimodality
from .bond_angles import bond_angles
from .bond_correlation import bond_correlation
from .bond_exchange import bond_exchange
from .clusters import clusters
from .coherent_intermediate_scattering import coherent_intermediate_scattering
from .collection import everything, load, save, summary
from .coordination import coordination
from .decoupling import decoupling
from .diffusion_coefficient import diffusion_coefficient
from .dynamic_length import dynamic_length
from .finite_size import finite_size
from .four_point_susceptibility import four_point_susceptibility
from .hops import hops
from .mean_squared_displacement import mean_squared_displacement
from .mobility import mobility
from .non_gaussian import non_gaussian
from .non_gaussian_peak import non_gaussian_peak, species_order
from .overlap import overlap
from .propensity import propensity
from .q_speciation import q_speciation
from .radial_distribution import radial_distribution
from .relaxation_time import relaxation_time
from .rings import rings
from .self_intermediate_scattering import self_intermediate_scattering
from .site_reuse import site_reuse
from .stretched_exponential import stretched_exponential
from .structure_factor import structure_factor
from .thermodynamics import thermodynamics
from .van_hove_distinct import van_hove_distinct
from .van_hove_self import van_hove_self

__all__ = [
    "arrhenius",
    "bimodality",
    "bond_angles",
    "bond_correlation",
    "bond_exchange",
    "clusters",
    "coherent_intermediate_scattering",
    "coordination",
    "decoupling",
    "diffusion_coefficient",
    "dynamic_length",
    "everything",
    "finite_size",
    "four_point_susceptibility",
    "hops",
    "load",
    "mean_squared_displacement",
    "mobility",
    "non_gaussian",
    "non_gaussian_peak",
    "overlap",
    "propensity",
    "q_speciation",
    "radial_distribution",
    "relaxation_time",
    "rings",
    "save",
    "self_intermediate_scattering",
    "site_reuse",
    "species_order",
    "stretched_exponential",
    "structure_factor",
    "summary",
    "thermodynamics",
    "van_hove_distinct",
    "van_hove_self",
]
