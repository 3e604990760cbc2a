"""The laws of attention, measured on a trained model, with advice."""
