"""What compiled loops do with memory and numba has no words for.

numba counts references to the arrays that a function gets or passes on, by atomic operations: more
time than it takes to look a segment up. A function that makes no array needs none of it.
"""

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.compiled import njit, numba

# numba's own switch, not in its types; without it a function takes its caller's.
borrows_arrays = njit(_nrt=False)
owns_arrays = njit(_nrt=True)
_BYTE, _INT32 = ir.IntType(8), ir.IntType(32)
_READ, _KEEP_IN_ALL_CACHES, _DATA = 0, 3, 1


@intrinsic
def load_word(_context, data, at):
    """Return data[at:at + 8] of a uint8 array as one uint64; `at` need not be aligned."""

    def generate(context, builder, signature, arguments):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        start = builder.gep(array.data, [arguments[1]])
        word = builder.bitcast(start, ir.IntType(64).as_pointer())
        return builder.load(word, align=1)

    return numba.uint64(data, numba.int64), generate


@intrinsic
def prefetch_row(_context, table, row):
    """Begin to bring the start of row `row` of an array into the cache; changes nothing."""

    def generate(context, builder, signature, arguments):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        stride = builder.extract_value(array.strides, 0)
        pointer = builder.bitcast(array.data, _BYTE.as_pointer())
        start = builder.gep(pointer, [builder.mul(arguments[1], stride)])
        type_of_call = ir.FunctionType(ir.VoidType(), [start.type, _INT32, _INT32, _INT32])
        prefetch = cgutils.get_or_insert_function(builder.module, type_of_call, "llvm.prefetch.p0")
        hints = (_READ, _KEEP_IN_ALL_CACHES, _DATA)
        builder.call(prefetch, [start, *(_INT32(hint) for hint in hints)])
        return context.get_dummy_value()

    return numba.void(table, numba.int64), generate
