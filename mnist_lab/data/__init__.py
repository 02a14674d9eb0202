"""MNIST: its files, its split, batches of digits, augmentation, and pictures of them."""
