"""A model as an ONNX file that decides as the model that was audited, and the audit of any pair of files."""
