"""Interatomic potentials: PaiNN, its fast kernels, and classical ones."""
