"""A plain training loop over another library's network; prints seconds per step of the better type.

`peer_train.py NAME SHAPE STEPS`: NAME is llama or gpt2 (transformers) or litgpt, SHAPE is JSON. Run
in float32 and in bfloat16 autocast; CPU seconds of one thread, the median of STEPS.
"""

import json
import sys
import time

import torch


def transformers_llama(shape):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape["vocab_size"], hidden_size=shape["width"],
        intermediate_size=shape["hidden"], num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"], num_key_value_heads=shape["heads"],
        max_position_embeddings=shape["context"], tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    return network, lambda ids_BT: network(input_ids=ids_BT[:, :-1], labels=ids_BT[:, :-1]).loss


def transformers_gpt2(shape):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape["vocab_size"], n_embd=shape["width"], n_layer=shape["layers"],
        n_head=shape["heads"], n_positions=shape["context"], n_inner=4 * shape["width"],
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
    )  # fmt: skip
    network = GPT2LMHeadModel(config)
    return network, lambda ids_BT: network(input_ids=ids_BT[:, :-1], labels=ids_BT[:, :-1]).loss


def litgpt(shape):
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=shape["context"], vocab_size=shape["vocab_size"],
        padded_vocab_size=shape["vocab_size"], n_layer=shape["layers"], n_head=shape["heads"],
        n_embd=shape["width"], intermediate_size=shape["hidden"], rotary_percentage=1.0,
        parallel_residual=False, bias=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP",
    )  # fmt: skip
    network = GPT(config)
    network.lm_head.weight = network.transformer.wte.weight  # tied, as the others are
    return network, lambda ids_BT: chunked_cross_entropy(
        network(ids_BT[:, :-1]), ids_BT[:, 1:], chunk_size=0
    )


PEERS = {"llama": transformers_llama, "gpt2": transformers_gpt2, "litgpt": litgpt}


def seconds_per_step(name: str, shape: dict, kind: str, steps: int) -> float:
    """CPU seconds of a step: forward, backward, clipping, AdamW."""
    torch.manual_seed(0)
    network, loss_of = PEERS[name](shape)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
    ids_BT = torch.randint(0, shape["vocab_size"], (shape["batch_size"], shape["context"] + 1))
    taken = []
    for _ in range(steps + 2):
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            loss = loss_of(ids_BT)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        taken.append(time.process_time() - began)
    return sorted(taken[2:])[steps // 2]


def main() -> None:
    """Print JSON: seconds per step by type."""
    torch.set_num_threads(1)
    name, shape, steps = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    print(json.dumps({k: seconds_per_step(name, shape, k, steps) for k in ("fp32", "bf16")}))


if __name__ == "__main__":
    main()
