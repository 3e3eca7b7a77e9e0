"""Makes and measures the bundled model. Needs TensorFlow, scikit-learn and matplotlib; never imported at run time."""
