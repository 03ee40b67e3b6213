"""A line against eight levels at once: the innermost step of counting maps that are coarser than the labels."""

from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ABREAST = 8
"""Levels that a line is compared with at once."""
UNIT = 1 << 20
"""Places along a row are counted in this part of a pixel."""
NEAR = 4
"""A crossing this near to a pixel's centre, in units, is in doubt; it is wrong by half as much at most."""


@intrinsic
@no_type_check
def add_above(_, levels, k, lines, where, ends, first, last, own, i, other, j):  # noqa: ARG001  # pragma: no cover
    """Add how many pixels of runs first … last - 1 are above levels k … k + 7 to two tables, unless one is in doubt.

    In LLVM's own words, because a loop over eight levels is too short to be made a vector otherwise.

    Args:
        levels: float64, at least k + 8.
        lines: float64 [4, n] as `crossings` draws them.
        where: uint32, the line of each run.
        ends: float64 [runs, 4], see `lay_patches`.
        own, other: uint32, flat; those above level k are added at i and at j.

    Returns:
        Whether all is sure; if not, nothing was added.
    """
    index = types.int64
    signature = types.boolean(levels, index, lines, where, ends, index, index, own, index, other, index)

    def generate(context, b, signature, arguments):
        whole, real, wide = ir.IntType(32), ir.DoubleType(), ir.IntType(64)
        wholes, reals = ir.VectorType(whole, ABREAST), ir.VectorType(real, ABREAST)

        def data(n):
            return context.make_array(signature.args[n])(context, b, arguments[n]).data

        def at(pointer, n):
            return b.load(b.gep(pointer, [wide(n)]))

        def all_of(x, vector):
            one = b.insert_element(ir.Constant(vector, ir.Undefined), x, whole(0))
            return b.shuffle_vector(one, ir.Constant(vector, ir.Undefined), ir.Constant(wholes, [0] * ABREAST))

        def vector_at(pointer, place, vector):
            return b.bitcast(b.gep(pointer, [place]), vector.as_pointer())

        def kept(start):
            slot = cgutils.alloca_once(b, start.type)
            b.store(start, slot)
            return slot

        count = cgutils.unpack_tuple(b, context.make_array(signature.args[2])(context, b, arguments[2]).shape)[1]
        cuts = b.load(vector_at(data(0), arguments[1], reals), align=8)
        before, stops = kept(ir.Constant(wholes, [0] * ABREAST)), kept(real(0.0))
        nearest = kept(ir.Constant(wholes, [UNIT] * ABREAST))
        with cgutils.for_range_slice(b, arguments[5], arguments[6], wide(1)) as (run, _):
            line = b.zext(b.load(b.gep(data(3), [run])), wide)
            base, units, step = (b.load(b.gep(data(2), [b.add(line, b.mul(wide(n), count))])) for n in (0, 1, 3))
            falls = b.lshr(b.bitcast(step, wide), wide(63))
            end = b.gep(data(4), [b.add(b.shl(run, wide(2)), b.shl(falls, wide(1)))])
            start, stop = at(end, 0), at(end, 1)
            b.store(b.fadd(b.load(stops), stop), stops)
            start, stop = all_of(start, reals), all_of(stop, reals)
            place = b.fmul(b.fsub(cuts, all_of(base, reals)), all_of(units, reals))
            place = b.select(b.fcmp_ordered("<", place, stop), place, stop)  # what is no number is not above
            place = b.select(b.fcmp_ordered(">", place, start), place, start)
            place = b.fptosi(place, wholes)
            b.store(b.add(b.load(before), b.ashr(place, ir.Constant(wholes, [20] * ABREAST))), before)
            off = b.and_(b.add(place, ir.Constant(wholes, [NEAR] * ABREAST)), ir.Constant(wholes, [UNIT - 1] * ABREAST))
            least = b.load(nearest)
            b.store(b.select(b.icmp_signed("<", off, least), off, least), nearest)
        reduce = ir.FunctionType(whole, [wholes])
        reduce = cgutils.get_or_insert_function(b.module, reduce, f"llvm.vector.reduce.smin.v{ABREAST}i32")
        sure = b.icmp_signed(">=", b.call(reduce, [b.load(nearest)]), whole(2 * NEAR))
        with b.if_then(sure):
            runs = b.sitofp(b.sub(arguments[6], arguments[5]), real)
            total = b.fsub(b.fmul(b.load(stops), real(1 / UNIT)), b.fmul(runs, real(0.5)))
            above = b.sub(all_of(b.fptosi(total, whole), wholes), b.load(before))
            for table, place in ((7, 8), (9, 10)):
                here = vector_at(data(table), arguments[place], wholes)
                b.store(b.add(b.load(here, align=4), above), here, align=4)
        return sure

    return signature, generate
