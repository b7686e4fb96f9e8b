"""Other people's tools: experiment trackers, and ONNX. Each is an extra, imported when it is asked for."""
