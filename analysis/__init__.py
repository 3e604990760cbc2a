"""What a trained layer does: fixed points, curl, latent codes."""
