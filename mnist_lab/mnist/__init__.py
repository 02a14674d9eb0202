"""The four MNIST files."""
