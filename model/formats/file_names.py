"""What the files of a model folder are called."""

WEIGHTS, CONFIG, GENERATION = "model.safetensors", "config.json", "generation_config.json"
TOKENIZER = "tokenizer.model"
OPTIMIZER = "optimizer.safetensors"  # in a checkpoint too
