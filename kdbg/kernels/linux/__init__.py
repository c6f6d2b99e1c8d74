"""Linux kernels, found in an image without any file beside it."""
