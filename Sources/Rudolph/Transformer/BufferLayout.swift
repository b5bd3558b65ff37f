import CKernels

/// Where the buffers of a pass lie in one block of memory: in bytes from its start, each at a cache line.
struct BufferLayout {
    /// Of rows as rk_integer_rows, for each of its pointers. Room for offsets and for the scales of blocks is there whether the rows have them or
    /// not.
    struct IntegerRows {
        let values, scales, starts, offsets: Int
        /// In elements.
        let stride: Int
        let isInt16: Bool
    }

    /// In elements, of floats and of integers alike.
    let hiddenStride, wideStride: Int
    /// In floats, of one worker.
    let scoresStride: Int
    /// Rows of floats: the residual stream; the normed rows, which become the context of attention; a sublayer's output; and the wide rows, which are
    /// queries, keys and values first and the MLP's hidden layer later.
    let hidden, normed, output, wide: Int
    /// The scratch of attention, for each worker.
    let scores: Int
    /// For each layer a row of floats for each block of the wide rows, where those have offsets.
    let blockSums: Int
    let blocks: Int
    /// The normed rows and the wide rows as matrices of integers take them, and a row of ones, with the scales of as many rows as there are blocks.
    let narrowIntegers, wideIntegers, ones: IntegerRows
    let total: Int

    init(_ configuration: Configuration, _ type: WeightType, rows: Int, threads: Int, precision: ActivationPrecision) {
        let h = configuration.hiddenSize
        let hiddenStride = Int(rk_row_stride(Int32(h))), wideStride = Int(rk_row_stride(Int32(4 * h)))
        self.hiddenStride = hiddenStride
        self.wideStride = wideStride
        // Of a block of queries, see rk_attention.
        scoresStride = Int(RK_QUERY_BLOCK) * paddedToPanel(configuration.sequenceLength) + rk_block_scratch(Int32(configuration.headSize))
        var end = 0
        func place(_ bytes: Int) -> Int {
            let start = end
            end += (bytes + 63) / 64 * 64
            return start
        }
        func place(rows: Int, scaledRows: Int? = nil, _ stride: Int, _ columns: Int, isInt16: Bool = false) -> IntegerRows {
            let scales = 4 * (scaledRows ?? rows) * (isInt16 ? 1 : Int(rk_int8_blocks(Int32(columns))))
            return IntegerRows(
                values: place((isInt16 ? 2 : 1) * rows * stride), scales: place(scales), starts: place(4 * rows * (stride / Int(RK_GROUP))),
                offsets: place(scales), stride: stride, isInt16: isInt16)
        }
        hidden = place(4 * rows * hiddenStride)
        normed = place(4 * rows * hiddenStride)
        output = place(4 * rows * hiddenStride)
        wide = place(4 * rows * wideStride)
        scores = place(4 * threads * scoresStride)
        blocks = Int(rk_int8_blocks(Int32(4 * h)))
        blockSums = place(type == .int8 && !precision.isWideInt16 ? 4 * configuration.layers * blocks * hiddenStride : 0)
        narrowIntegers = place(rows: rows, hiddenStride, h, isInt16: precision.isNarrowInt16)
        wideIntegers = place(rows: rows, wideStride, 4 * h, isInt16: precision.isWideInt16)
        ones = place(rows: 1, scaledRows: blocks, wideStride, 4 * h)
        total = end
    }
}
