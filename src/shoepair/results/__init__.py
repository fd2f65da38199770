"""From predictions and saved results to numbers, tables and pictures. Knows neither Hydra nor Lightning."""
