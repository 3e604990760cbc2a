"""How an energy's gradient and its weights are computed: eager, fused, in chunks, traced."""
