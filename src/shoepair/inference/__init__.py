"""A trained network in use, without Lightning: two photos, a heap of shoes, an ONNX file."""
