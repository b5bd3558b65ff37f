import CKernels
import CPlatform

/// The four matrices of a layer, in the order in which they are multiplied.
package enum LayerMatrix: CaseIterable, Sendable {
    case queryKeyValue, dense, up, down
}

/// Is shown the rows that a layer's matrix is about to multiply, as floats. All workers of the pass call it; as any step it shares its work
/// out among them and ends with a barrier.
package typealias InputObserver = (_ worker: UnsafeMutablePointer<rk_worker>, _ layer: Int, _ matrix: LayerMatrix, _ rows: rk_rows) -> Void

/// Runs the decoder over new positions of one or many sequences.
///
/// Buffers are allocated when it is made, for at most `maximumRows` positions at once; those of logits, wanted rows times rows of the head, by
/// the first pass that needs so many. Not safe to share between threads.
final class Transformer {
    /// A position to compute: its token, its place in the sequence, the cache that it belongs to, and the cache that holds the positions
    /// before that one's start (the same where there are none).
    struct Row {
        var token: Int
        var position: Int
        var cache: Int
        var prefix = 0
    }

    /// Which rows of the output head a pass computes.
    enum Head {
        case text(rows: Int)
        case image(rows: Int)

        var rows: Int {
            switch self {
            case .text(let rows), .image(let rows): rows
            }
        }
    }

    let model: Model
    let threads: Int
    var maximumRows: Int { plan.maximum }
    let stop: StopFlag
    /// Passes so far.
    private(set) var passes = 0

    private let configuration: Configuration
    private let features: UInt32
    private let memory: UnsafeMutableRawPointer
    // See `BufferLayout`.
    private let hidden, normed, output, wide: Buffer
    private let scores: UnsafeMutablePointer<Float>
    private let scoresStride: Int
    // Where 8-bit weights multiply 8 bits of the MLP's hidden layer, its rows have offsets, as GELU makes them lie to one side of zero. For those,
    // sums of the blocks of each layer's `down`, found by multiplying rows of ones in one block when a pass first gets there.
    private let ones: Buffer
    private let blocks: Int
    private let blockSums: UnsafeMutablePointer<Float>
    private let hasBlockSums: UnsafeMutablePointer<Bool>
    private var logitsMemory: UnsafeMutablePointer<Float>? = nil
    /// Floats of logits that there is room for.
    private(set) var logitsCapacity = 0

    /// The pass that is running.
    private let plan: PassPlan
    private var logits = Logits(base: nil, stride: 0, columns: 0)
    private var observer: InputObserver?

    /// Rows of floats, and room for the same as integers where a matrix multiplies them.
    private struct Buffer {
        let floats: UnsafeMutablePointer<Float>
        let stride: Int
        var integers: rk_integer_rows? = nil

        /// `columns` floats of each of the first `count` rows.
        func rows(_ count: Int, _ columns: Int, from column: Int = 0) -> rk_rows {
            rk_rows(data: floats + column, stride: stride, count: Int32(count), n: Int32(columns))
        }

        /// The integers as `linear` takes them, nil where it takes floats.
        func integers(for linear: Linear?) -> rk_integer_rows? {
            guard let linear, linear.type.isInteger, var rows = integers else { return nil }
            if linear.type != .int8 {
                rows.is_int16 = 0
                rows.offsets = nil
            }
            rows.has_blocks = linear.type == .int8 && rows.is_int16 == 0 ? 1 : 0
            return rows
        }
    }

    /// Bytes of the buffers for `rows` positions at once.
    static func bytes(_ model: Model, rows: Int, threads: Int, precision: ActivationPrecision) -> UInt64 {
        UInt64(BufferLayout(model.configuration, model.weightType, rows: rows, threads: threads, precision: precision).total)
    }

    init(
        _ model: Model, threads: Int, maximumRows: Int, precision: ActivationPrecision, stop: StopFlag
    ) throws(RudolphError) {
        let configuration = model.configuration
        let layout = BufferLayout(configuration, model.weightType, rows: maximumRows, threads: threads, precision: precision)
        guard let memory = rp_allocate(UInt64(layout.total)) else {
            throw .outOfMemory("out of memory: \(layout.total) bytes for the buffers of \(maximumRows) positions")
        }
        rp_prefer_large_pages(memory)
        self.model = model
        self.configuration = configuration
        self.threads = threads
        self.stop = stop
        self.memory = memory
        features = rk_cpu_features()
        plan = PassPlan(model, maximum: maximumRows, threads: threads)

        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> { (memory + offset).assumingMemoryBound(to: Float.self) }
        func integers(_ rows: BufferLayout.IntegerRows, hasOffsets: Bool) -> rk_integer_rows {
            rk_integer_rows(
                values: memory + rows.values, scales: floats(rows.scales), offsets: hasOffsets ? floats(rows.offsets) : nil,
                starts: (memory + rows.starts).assumingMemoryBound(to: Int32.self), stride: Int32(rows.stride), is_int16: rows.isInt16 ? 1 : 0,
                has_blocks: 0)
        }
        hidden = Buffer(floats: floats(layout.hidden), stride: layout.hiddenStride)
        normed = Buffer(
            floats: floats(layout.normed), stride: layout.hiddenStride, integers: integers(layout.narrowIntegers, hasOffsets: false))
        output = Buffer(floats: floats(layout.output), stride: layout.hiddenStride)
        wide = Buffer(
            floats: floats(layout.wide), stride: layout.wideStride,
            integers: integers(layout.wideIntegers, hasOffsets: !precision.isWideInt16))
        scores = floats(layout.scores)
        scoresStride = layout.scoresStride
        blocks = layout.blocks
        blockSums = floats(layout.blockSums)
        hasBlockSums = .allocate(capacity: configuration.layers)
        hasBlockSums.initialize(repeating: false, count: configuration.layers)

        // A row for each block: the same one, with the scale of one block only.
        var ones = integers(layout.ones, hasOffsets: false)
        ones.stride = 0
        let values = ones.values.assumingMemoryBound(to: Int8.self), columns = 4 * configuration.hiddenSize, block = Int(RK_INT8_BLOCK)
        for column in 0..<layout.wideStride { values[column] = column < columns ? 1 : 0 }
        for index in 0..<blocks {
            ones.starts[index] = -128 * Int32(min(block, columns - index * block))
            for other in 0..<blocks { ones.scales[index * blocks + other] = index == other ? 1 : 0 }
        }
        // Only matrices of integers multiply it.
        self.ones = Buffer(floats: wide.floats, stride: layout.wideStride, integers: ones)
    }

    deinit {
        rp_free(memory)
        rp_free(logitsMemory)
        hasBlockSums.deallocate()
    }

    /// Logits of the rows that a pass was asked for: `stride` floats apart, valid until the next pass.
    struct Logits {
        let base: UnsafeMutablePointer<Float>?
        let stride, columns: Int

        subscript(row: Int) -> UnsafeMutableBufferPointer<Float> {
            UnsafeMutableBufferPointer(start: base.map { $0 + row * stride }, count: columns)
        }
    }

    /// Computes `rows` (at most `maximumRows`), stores their keys and values, and returns logits of the rows listed in `wanted`
    /// (ascending indices into `rows`).
    ///
    /// A row sees the cache of its prefix up to where its own cache starts, and from there its own. Rows of one cache must come in order of
    /// position; what a row sees must have been computed, by this pass at the latest. A prefix may end anywhere in the text or where the image
    /// starts or ends, not inside the image. Drawings' caches take no more rows of a pass than `ringTokensAtOnce`.
    /// - Throws: `RudolphError.stopped` when `stop` was raised; what the caches hold of these rows is then undefined. Likewise where a logit is
    ///   infinite or no number.
    @discardableResult
    func pass(
        _ rows: [Row], caches: [KeyValueCache], wanted: [Int] = [], head: Head = .text(rows: 0), observer: InputObserver? = nil
    ) throws(RudolphError) -> Logits {
        // Whatever comes of it, the caches are their owners' again.
        defer {
            plan.forgetCaches()
            self.observer = nil
        }
        try plan.prepare(rows, caches, wanted: wanted, head)
        logits = try roomForLogits(wanted.count, head)
        self.observer = observer
        passes += 1
        inParallel(threads) { run($0) }
        if plan.isStopped { throw RudolphError.stopped }
        if let position = plan.damagedPosition { throw model.damaged("the logits at position \(position)") }
        return logits
    }

    /// How many image tokens from `index` on one pass may compute for each sequence in caches of drawings.
    func ringTokensAtOnce(from index: Int) -> Int { plan.ringTokensAtOnce(from: index) }

    private func roomForLogits(_ rows: Int, _ head: Head) throws(RudolphError) -> Logits {
        guard rows > 0 else { return Logits(base: nil, stride: 0, columns: 0) }
        let stride = paddedToPanel(head.rows)
        let needed = rows * stride
        if needed > logitsCapacity {
            rp_free(logitsMemory)
            logitsCapacity = 0
            logitsMemory = nil
            guard let memory = rp_allocate(4 * UInt64(needed)) else {
                throw .outOfMemory("out of memory: \(4 * needed) bytes of logits")
            }
            logitsMemory = memory.assumingMemoryBound(to: Float.self)
            logitsCapacity = needed
        }
        return Logits(base: logitsMemory, stride: stride, columns: head.rows)
    }

    /// What each worker does: every step is shared out inside and ends with a barrier.
    private func run(_ worker: UnsafeMutablePointer<rk_worker>) {
        let layers = model.transformer.layers
        prefetch(worker, layers.first?.queryKeyValue, plan.count)
        embedRows(worker)
        if let first = layers.first { norm(worker, first.inputNorm, plan.count, for: first.queryKeyValue) }
        for (index, layer) in layers.enumerated() {
            if worker.pointee.index == 0 { plan.stops[index] = stop.isRaised }
            storeKeysAndValues(worker, index, layer)
            if plan.stops[index] {
                if worker.pointee.index == 0 { plan.isStopped = true }
                return
            }
            var count = plan.count
            let next = index + 1 < layers.count ? layers[index + 1] : nil
            if next == nil {
                // What follows is needed only where logits are wanted.
                count = plan.wantedCount
                if count == 0 { return }
                keepWanted(worker, index)
            }
            attend(worker, index, layer, count)
            addAndNorm(worker, layer.firstAdditionNorm, layer.postAttentionNorm, count, for: layer.up)
            expand(worker, index, layer, count, next: next?.queryKeyValue ?? headMatrix)
            addAndNorm(
                worker, layer.secondAdditionNorm, next?.inputNorm ?? model.transformer.finalNorm, count, for: next?.queryKeyValue)
        }
        computeLogits(worker, plan.wantedCount)
    }

    private func embedRows(_ worker: UnsafeMutablePointer<rk_worker>) {
        var index = Int(worker.pointee.index)
        while index < plan.count {
            embed(plan.rows[index], to: hidden.floats + index * hidden.stride)
            index += Int(worker.pointee.count)
        }
        rk_barrier(worker)
    }

    /// Leaves in `wide` queries, keys and values of the normed rows, and puts keys and values into the caches.
    private func storeKeysAndValues(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ layer: LayerWeights) {
        let h = configuration.hiddenSize
        observer?(worker, index, .queryKeyValue, normed.rows(plan.count, h))
        multiply(worker, layer.queryKeyValue, normed, plan.count, to: wide, next: layer.dense)
        plan.withCaches(ofLayer: index) { caches in
            rk_rows_store(
                worker, features, wide.rows(plan.count, h, from: h), wide.rows(plan.count, h, from: 2 * h), Int32(configuration.headSize), caches,
                plan.cacheIndices, plan.slots(ofLayer: index))
        }
    }

    /// Attention of the first `count` rows of `wide`, to `output`.
    private func attend(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ layer: LayerWeights, _ count: Int) {
        let (runs, offsets) = plan.runs(ofLayer: index)
        plan.withCaches(ofLayer: index) { caches in
            var rows = rk_attention_block(
                out: normed.floats, out_stride: normed.stride, queries: wide.floats, query_stride: wide.stride, count: Int32(count),
                runs: runs, run_offsets: offsets, scores: scores, scores_stride: scoresStride)
            rk_attention(worker, features, &rows, Int32(configuration.heads), Int32(configuration.headSize), caches)
        }
        let context = normed.rows(count, configuration.hiddenSize)
        observer?(worker, index, .dense, context)
        quantize(worker, context, normed, for: layer.dense)
        multiply(worker, layer.dense, normed, count, to: output, next: layer.up)
    }

    /// The MLP of the normed rows, to `output`; `next` is what is multiplied after it.
    private func expand(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ layer: LayerWeights, _ count: Int, next: Linear) {
        observer?(worker, index, .up, normed.rows(count, configuration.hiddenSize))
        multiply(worker, layer.up, normed, count, to: wide, activation: RK_GELU, next: layer.down)
        let inner = wide.rows(count, 4 * configuration.hiddenSize)
        observer?(worker, index, .down, inner)
        quantize(worker, inner, wide, for: layer.down)
        var down = layer.down
        down.matrix.block_sums = sumsOfBlocks(worker, index, down)
        down.matrix.block_sums_stride = output.stride
        multiply(worker, down, wide, count, to: output, next: next)
    }

    /// The sums of the blocks of a layer's `down`; nil where its input has no offsets.
    private func sumsOfBlocks(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ down: Linear) -> UnsafePointer<Float>? {
        guard wide.integers(for: down)?.offsets != nil else { return nil }
        let sums = Buffer(floats: blockSums + index * blocks * output.stride, stride: output.stride)
        if !hasBlockSums[index] {
            multiply(worker, down.withoutBias, ones, blocks, to: sums, next: down)
            // The others looked before the product ended, at its barrier.
            if worker.pointee.index == 0 { hasBlockSums[index] = true }
        }
        return UnsafePointer(sums.floats)
    }

    private func computeLogits(_ worker: UnsafeMutablePointer<rk_worker>, _ count: Int) {
        guard let base = logits.base else { return }
        let linear = headMatrix
        let rows = normed.rows(count, configuration.hiddenSize)
        withQuantized(normed, for: linear) { quantized in
            rk_rows_norm(worker, features, rows, rows, model.transformer.headNorm, quantized)
        }
        multiply(worker, linear, normed, count, to: Buffer(floats: base, stride: logits.stride))
        findDamage(worker, base, count)
    }

    /// Notes logits that are not finite. The last step, without a barrier: there the region ends.
    private func findDamage(_ worker: UnsafeMutablePointer<rk_worker>, _ base: UnsafeMutablePointer<Float>, _ count: Int) {
        let piece = 4096, pieces = (logits.columns + piece - 1) / piece
        var first: Int32 = 0
        while true {
            let some = rk_next_chunks(worker, Int32(count * pieces), 1, &first)
            if some == 0 { return }
            for chunk in Int(first)..<Int(first + some) {
                let row = chunk / pieces, column = chunk % pieces * piece
                if !areFinite(base + row * logits.stride + column, min(piece, logits.columns - column)) {
                    plan.noteDamage(Int(worker.pointee.index), wanted: row)
                }
            }
        }
    }

    /// Those rows of the head's matrix that were asked for.
    private var headMatrix: Linear {
        var linear: Linear
        switch plan.head {
        case .text: linear = model.transformer.textHead
        case .image: linear = model.transformer.imageHead
        }
        linear.matrix.rows = Int32(plan.head.rows)
        return linear
    }

    private func embed(_ row: Row, to output: UnsafeMutablePointer<Float>) {
        let weights = model.transformer
        let h = configuration.hiddenSize
        let first, second: UnsafePointer<Float>?
        if row.position < configuration.leftTextLength {
            // A pad in the left text has a row of its own for each position.
            let id = row.token == 0 ? configuration.textTokenRows + row.position : row.token
            weights.textEmbeddings.copyRow(id, to: output)
            (first, second) = (weights.leftPositions + row.position * h, nil)
        } else if row.position < configuration.rightTextStart {
            weights.imageEmbeddings.copyRow(row.token, to: output)
            let index = row.position - configuration.leftTextLength
            first = weights.imageRows + index / configuration.imageTokensPerSide * h
            second = weights.imageColumns + index % configuration.imageTokensPerSide * h
        } else {
            weights.textEmbeddings.copyRow(row.token, to: output)
            (first, second) = (weights.rightPositions + (row.position - configuration.rightTextStart) * h, nil)
        }
        if let first, let second {
            for k in 0..<h { output[k] += first[k] + second[k] }
        } else if let first {
            for k in 0..<h { output[k] += first[k] }
        }
    }

    /// Moves the queries, the residual rows and the runs of the wanted rows to the front.
    private func keepWanted(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int) {
        if worker.pointee.index == 0 {
            let h = configuration.hiddenSize
            plan.keepWanted(lastLayer: index) { source, target in
                (wide.floats + target * wide.stride).update(from: wide.floats + source * wide.stride, count: h)
                (hidden.floats + target * hidden.stride).update(from: hidden.floats + source * hidden.stride, count: h)
            }
        }
        rk_barrier(worker)
    }

    /// Calls `body` with the integers to quantize the rows of a buffer into, or nil when the next matrix takes floats.
    @inline(__always)
    private func withQuantized(_ buffer: Buffer, for next: Linear?, _ body: (UnsafePointer<rk_integer_rows>?) -> Void) {
        if let integers = buffer.integers(for: next) {
            withUnsafePointer(to: integers) { body($0) }
        } else {
            body(nil)
        }
    }

    private func norm(_ worker: UnsafeMutablePointer<rk_worker>, _ norm: rk_layer_norm, _ count: Int, for next: Linear) {
        let h = configuration.hiddenSize
        withQuantized(normed, for: next) { quantized in
            rk_rows_norm(worker, features, normed.rows(count, h), hidden.rows(count, h), norm, quantized)
        }
    }

    private func addAndNorm(
        _ worker: UnsafeMutablePointer<rk_worker>, _ inner: rk_layer_norm, _ outer: rk_layer_norm, _ count: Int, for next: Linear?
    ) {
        let h = configuration.hiddenSize
        withQuantized(normed, for: next) { quantized in
            rk_rows_add_norm(worker, features, normed.rows(count, h), hidden.rows(count, h), output.rows(count, h), inner, outer, quantized)
        }
    }

    private func quantize(_ worker: UnsafeMutablePointer<rk_worker>, _ rows: rk_rows, _ buffer: Buffer, for next: Linear) {
        withQuantized(buffer, for: next) { quantized in
            if let quantized { rk_rows_quantize(worker, features, rows, quantized) }
        }
    }

    /// What a worker will multiply next: it prefetches the weights while it waits.
    private func prefetch(_ worker: UnsafeMutablePointer<rk_worker>, _ next: Linear?, _ count: Int) {
        guard var matrix = next?.matrix else { return rk_matmul_prefetch(worker, nil, 0) }
        rk_matmul_prefetch(worker, &matrix, Int32(count))
    }

    /// Multiplies the first `count` rows of a buffer, to `output`; `next` is what is multiplied after it.
    private func multiply(
        _ worker: UnsafeMutablePointer<rk_worker>, _ linear: Linear, _ buffer: Buffer, _ count: Int, to output: Buffer,
        activation: rk_activation = RK_NONE, next: Linear? = nil
    ) {
        prefetch(worker, next, count)
        var input = rk_input(
            x: buffer.floats, stride: buffer.stride, integers: buffer.integers(for: linear) ?? rk_integer_rows(), count: Int32(count))
        var matrix = linear.matrix
        rk_matmul(worker, features, &matrix, &input, linear.bias, activation, output.floats, output.stride)
    }
}
