"""The operations, one a file: formula, gradients, kernels, Function, public function."""
