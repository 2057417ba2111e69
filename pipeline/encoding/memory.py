"""What compiled loops do with memory and numba has no words for.

numba counts references to the arrays that a function gets or passes on, by atomic operations: more
time than it takes to look a segment up. A function that makes no array needs none of it.
"""

from pipeline.compiled import Intrinsic, kinds, njit

# numba's own switch, not in its types; without it a function takes its caller's.
borrows_arrays = njit(_nrt=False)
owns_arrays = njit(_nrt=True)
_READ, _KEEP_IN_ALL_CACHES, _DATA = 0, 3, 1


@Intrinsic
def load_word(_context, data, at):
    """Return data[at:at + 8] of a uint8 array as one uint64; `at` need not be aligned."""

    from llvmlite import ir
    from numba.core import cgutils

    def generate(context, builder, signature, arguments):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        start = builder.gep(array.data, [arguments[1]])
        word = builder.bitcast(start, ir.IntType(64).as_pointer())
        return builder.load(word, align=1)

    return kinds.uint64.resolve()(data, kinds.int64.resolve()), generate


@Intrinsic
def prefetch_row(_context, table, row):
    """Begin to bring the start of row `row` of an array into the cache; changes nothing."""

    from llvmlite import ir
    from numba.core import cgutils

    def generate(context, builder, signature, arguments):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        stride = builder.extract_value(array.strides, 0)
        pointer = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        start = builder.gep(pointer, [builder.mul(arguments[1], stride)])
        hint_type = ir.IntType(32)
        type_of_call = ir.FunctionType(ir.VoidType(), [start.type, *[hint_type] * 3])
        prefetch = cgutils.get_or_insert_function(builder.module, type_of_call, "llvm.prefetch.p0")
        hints = (_READ, _KEEP_IN_ALL_CACHES, _DATA)
        builder.call(prefetch, [start, *(hint_type(hint) for hint in hints)])
        return context.get_dummy_value()

    return kinds.void.resolve()(table, kinds.int64.resolve()), generate
