"""Reports by reader: a verdict and the numbers that matter first, then that reader's figures."""
