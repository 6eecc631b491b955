"""Analysis."""
from .arrhenius import arrhenius
from .bond_angles import bond_angles
from .bond_correlation import bond_correlation
from .collection import everything, load, save, summary
from .coordination import coordination
from .diffusion_coefficient import diffusion_coefficient
from .mean_squared_displacement import mean_squared_displacement
from .non_gaussian import non_gaussian
from .overlap import overlap
from .q_speciation import q_speciation
from .radial_distribution import radial_distribution
from .relaxation_time import relaxation_time
from .self_intermediate_scattering import self_intermediate_scattering
from .stretched_exponential import stretched_exponential
from .structure_factor import structure_factor
from .van_hove_distinct import van_hove_distinct
from .van_hove_self import van_hove_self

__all__ = [
    "arrhenius", "bond_angles", "bond_correlation", "coordination", "diffusion_coefficient", "everything", "load",
    "mean_squared_displacement", "non_gaussian", "overlap", "q_speciation", "radial_distribution", "relaxation_time", "save",
    "self_intermediate_scattering", "stretched_exponential", "structure_factor", "summary", "van_hove_distinct", "van_hove_self",
]
