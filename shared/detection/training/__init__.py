"""Makes and measures the bundled model. Needs TensorFlow, scikit-learn and matplotlib; nothing at run time imports it."""
