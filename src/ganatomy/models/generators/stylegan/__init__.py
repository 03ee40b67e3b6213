"""StyleGAN2, StyleGAN2-ADA and StyleGAN3 from their official files: read as data, drawn in plain torch.

============  ==============================================================================
part          a module of the file, asked for facts and tensors, each of which must fit
layers        the mapping network, modulated convolution, filters
synthesis2    StyleGAN2 and StyleGAN2-ADA: skip, residual and plain architectures
synthesis3    StyleGAN3, T and R
generator     the generator at the wall, and the family ``stylegan:FILE``
============  ==============================================================================
"""

from ganatomy.models.generators.stylegan.generator import Settings, StyleGAN

__all__ = ["Settings", "StyleGAN"]
