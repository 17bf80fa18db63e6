"""Networks: many multilayer perceptrons of one shape as one batched program."""
