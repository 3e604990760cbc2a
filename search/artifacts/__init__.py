"""What leaves a study: exports, model cards, runs trained again."""
