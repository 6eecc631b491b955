"""Numbers that the verdicts rest on: conventions, each with its reason."""

LEVEL = 0.01  # probability of a false positive, all lag times and states that were looked at taken together
LEAST_RISE = 0.02  # 1/Å, height of a second maximum that a run must be able to exclude before its absence says anything
LEAST_RATIO = 2.0  # of relaxation times, that a run must be able to exclude before it says that there is no decoupling
LEAST_ALPHA = 0.05  # height of a peak of α₂, likewise
CAGES = 0.2  # α₂ of atoms that only rattle, in cages twice as wide one way as the others: a convention, for cages of no shape are known
MATRIX_Q = 1.7  # 1/Å, wave number of the network, where relaxation times are compared
CHANNEL_Q = 0.95  # 1/Å, that of the sodium channels: waves longer than a jump
Q_OFF = 0.05  # 1/Å, how far off that a computed one may be
ESCAPES = 1.0, 2.0  # Å, of overlaps: wider than the cage that sodium rattles in
