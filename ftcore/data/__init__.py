"""Training data: libraries of audio and the mixtures drawn from them."""
