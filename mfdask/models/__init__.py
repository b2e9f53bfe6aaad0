"""What is learned: parameters, the fit loop, the model directory."""
