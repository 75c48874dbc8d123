"""The graph of names that a user builds: nodes, operators, inference, gradients, and its trace."""
