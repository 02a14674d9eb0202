"""MNIST Lab: train three small convolutional networks, compare them, and know when a difference is noise."""

__version__ = "0.1.0"
