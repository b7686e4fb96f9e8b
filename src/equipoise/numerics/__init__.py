"""The mathematics of the learner, stateless: advantages, Gaussians, natural gradients, normalisation."""
