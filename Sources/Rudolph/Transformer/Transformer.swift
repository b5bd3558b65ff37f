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
    let maximumRows: Int

    private let configuration: Configuration
    private let layout: AttentionLayout
    private let features: UInt32
    private let masks: [Mask]
    /// For each layer, the index of its mask in `masks`.
    private let maskOfLayer: [Int]

    // Rows of floats: the residual stream; the normed rows, which become the context of attention; a sublayer's output; and
    // the wide rows, which are queries, keys and values first and the MLP's hidden layer later.
    private let memory: UnsafeMutableRawPointer
    private let hidden, normed, output, wide, scores: UnsafeMutablePointer<Float>
    private let narrowIntegers, wideIntegers: rk_integer_rows
    // Where 8-bit weights multiply 8 bits of the MLP's hidden layer, its rows have offsets, as GELU makes them lie to one side of zero. For those,
    // sums of the rows of each layer's `down`, found by multiplying a row of ones when a pass first gets there.
    private let ones: rk_integer_rows
    private let rowSums: UnsafeMutablePointer<Float>
    private let hasRowSums: UnsafeMutablePointer<Bool>
    private let hiddenStride, wideStride, scoresStride: Int
    private var logitsMemory: UnsafeMutablePointer<Float>? = nil
    private var logitsCapacity = 0

    // The pass that is running.
    private var rowCount = 0
    private var wantedCount = 0
    private var tokens: UnsafeMutablePointer<Row>
    private var wanted: UnsafeMutablePointer<Int32>
    private var cacheIndices: UnsafeMutablePointer<Int32>
    private var slots: [UnsafeMutablePointer<Int32>] = []
    private var runs: [UnsafeMutablePointer<rk_key_run>] = []
    private var runOffsets: [UnsafeMutablePointer<Int32>] = []
    private var caches: [KeyValueCache] = []
    private var views: [rk_key_value_cache] = []
    private var head = Head.text(rows: 0)
    private var logitsStride = 0
    private var observer: InputObserver?
    /// Whether worker 0 found the flag raised before each layer: read only after a barrier, so that all workers stop together.
    private let stops: UnsafeMutablePointer<Bool>
    private var isStopped = false
    let stop: StopFlag

    /// Bytes of the buffers for `rows` positions at once.
    static func bytes(_ configuration: Configuration, rows: Int, threads: Int, precision: ActivationPrecision) -> UInt64 {
        UInt64(Sizes(configuration, rows: rows, threads: threads, precision: precision).total)
    }

    /// Offsets of the buffers in one block of memory.
    private struct Sizes {
        /// In elements, of floats and of integers alike.
        let hiddenStride, wideStride: Int
        let scoresStride: Int
        private(set) var offsets: [Int] = []
        private(set) var total = 0

        init(_ configuration: Configuration, rows: Int, threads: Int, precision: ActivationPrecision) {
            let h = configuration.hiddenSize
            hiddenStride = Int(rk_row_stride(Int32(h)))
            wideStride = Int(rk_row_stride(Int32(4 * h)))
            // Of a block of queries, see rk_attention.
            scoresStride = Int(RK_QUERY_BLOCK) * paddedToPanel(configuration.sequenceLength) + 16 * configuration.headSize
            let group = Int(RK_GROUP)
            func integers(_ rows: Int, _ stride: Int, isInt16: Bool) -> [Int] {
                [(isInt16 ? 2 : 1) * rows * stride, 4 * rows, 4 * rows * (stride / group), 4 * rows]
            }
            let floats = [
                4 * rows * hiddenStride, 4 * rows * hiddenStride, 4 * rows * hiddenStride, 4 * rows * wideStride, 4 * threads * scoresStride,
                4 * configuration.layers * hiddenStride,
            ]
            let integers =
                integers(rows, hiddenStride, isInt16: precision.isNarrowInt16) + integers(rows, wideStride, isInt16: precision.isWideInt16)
                + integers(1, wideStride, isInt16: false)
            for bytes in floats + integers {
                offsets.append(total)
                total += (bytes + 63) / 64 * 64
            }
        }
    }

    init(
        _ model: Model, threads: Int, maximumRows: Int, precision: ActivationPrecision, stop: StopFlag
    ) throws(RudolphError) {
        let configuration = model.configuration
        let sizes = Sizes(configuration, rows: maximumRows, threads: threads, precision: precision)
        guard let memory = rp_allocate(UInt64(sizes.total)) else {
            throw RudolphError("out of memory: \(sizes.total) bytes for the buffers of \(maximumRows) positions")
        }
        rp_prefer_large_pages(memory)
        self.model = model
        self.configuration = configuration
        self.threads = threads
        self.maximumRows = maximumRows
        self.stop = stop
        stops = .allocate(capacity: configuration.layers)
        self.memory = memory
        layout = AttentionLayout(configuration)
        features = rk_cpu_features()
        hiddenStride = sizes.hiddenStride
        wideStride = sizes.wideStride
        scoresStride = sizes.scoresStride

        func floats(_ index: Int) -> UnsafeMutablePointer<Float> {
            (memory + sizes.offsets[index]).assumingMemoryBound(to: Float.self)
        }
        func integers(_ index: Int, stride: Int, isInt16: Bool, hasOffsets: Bool) -> rk_integer_rows {
            rk_integer_rows(
                values: memory + sizes.offsets[index], scales: floats(index + 1), offsets: hasOffsets ? floats(index + 3) : nil,
                starts: (memory + sizes.offsets[index + 2]).assumingMemoryBound(to: Int32.self), stride: Int32(stride), is_int16: isInt16 ? 1 : 0)
        }
        hidden = floats(0)
        normed = floats(1)
        output = floats(2)
        wide = floats(3)
        scores = floats(4)
        rowSums = floats(5)
        narrowIntegers = integers(6, stride: sizes.hiddenStride, isInt16: precision.isNarrowInt16, hasOffsets: false)
        wideIntegers = integers(10, stride: sizes.wideStride, isInt16: precision.isWideInt16, hasOffsets: !precision.isWideInt16)
        ones = integers(14, stride: sizes.wideStride, isInt16: false, hasOffsets: false)
        hasRowSums = .allocate(capacity: configuration.layers)
        hasRowSums.initialize(repeating: false, count: configuration.layers)

        var masks: [Mask] = []
        var maskOfLayer: [Int] = []
        for layer in model.transformer.layers {
            if let index = masks.firstIndex(of: layer.mask) {
                maskOfLayer.append(index)
            } else {
                maskOfLayer.append(masks.count)
                masks.append(layer.mask)
            }
        }
        self.masks = masks
        self.maskOfLayer = maskOfLayer
        ones.scales[0] = 1
        let values = ones.values.assumingMemoryBound(to: Int8.self), columns = 4 * configuration.hiddenSize, group = Int(RK_GROUP)
        for column in 0..<wideStride { values[column] = column < columns ? 1 : 0 }
        for index in 0..<wideStride / group { ones.starts[index] = -8 * Int32(max(0, min(group, columns - index * group))) }
        tokens = .allocate(capacity: maximumRows)
        tokens.initialize(repeating: Row(token: 0, position: 0, cache: 0), count: maximumRows)
        wanted = .allocate(capacity: maximumRows)
        cacheIndices = .allocate(capacity: maximumRows)
        for mask in masks {
            slots.append(.allocate(capacity: maximumRows))
            // A run may be split once, where the shared prefix ends.
            runs.append(.allocate(capacity: maximumRows * (layout.maximumRuns(mask) + 1)))
            runOffsets.append(.allocate(capacity: maximumRows + 1))
        }
    }

    deinit {
        rp_free(memory)
        rp_free(logitsMemory)
        tokens.deallocate()
        wanted.deallocate()
        stops.deallocate()
        hasRowSums.deallocate()
        cacheIndices.deallocate()
        for pointer in slots { pointer.deallocate() }
        for pointer in runs { pointer.deallocate() }
        for pointer in runOffsets { pointer.deallocate() }
    }

    /// Logits of the rows that a pass was asked for: `stride` floats apart, valid until the next pass.
    struct Logits {
        let base: UnsafeMutablePointer<Float>
        let stride, columns: Int

        subscript(row: Int) -> UnsafeMutableBufferPointer<Float> {
            UnsafeMutableBufferPointer(start: base + row * stride, count: columns)
        }
    }

    /// Computes `rows` (at most `maximumRows`), stores their keys and values, and returns logits of the rows listed in `wanted`
    /// (ascending indices into `rows`).
    ///
    /// A row sees the cache of its prefix up to where its own cache starts, and from there its own. Rows of one cache must come in order of
    /// position, and those before them must have been computed. A prefix may end anywhere in the text or where the image starts or
    /// ends, not inside the image.
    /// - Throws: `RudolphError.stopped` when `stop` was raised; what the caches hold of these rows is then undefined. Likewise where a logit is
    ///   infinite or no number.
    @discardableResult
    func pass(
        _ rows: [Row], caches: [KeyValueCache], wanted: [Int] = [], head: Head = .text(rows: 0), observer: InputObserver? = nil
    ) throws(RudolphError) -> Logits {
        // Whatever comes of it, the caches are their owners' again.
        defer {
            self.caches = []
            self.observer = nil
        }
        try prepare(rows, caches, wanted, head)
        self.observer = observer
        inParallel(threads) { run($0) }
        if isStopped { throw RudolphError.stopped }
        let logits = Logits(base: logitsMemory ?? hidden, stride: logitsStride, columns: head.rows)
        for (index, row) in wanted.enumerated() where !areFinite(logits.base + index * logits.stride, logits.columns) {
            throw model.damaged("the logits at position \(rows[row].position)")
        }
        return logits
    }

    private func prepare(_ rows: [Row], _ caches: [KeyValueCache], _ wanted: [Int], _ head: Head) throws(RudolphError) {
        guard rows.count <= maximumRows, wanted.count <= rows.count, !rows.isEmpty else {
            throw RudolphError("a pass of \(rows.count) positions, expected 1 to \(maximumRows)")
        }
        isStopped = false
        rowCount = rows.count
        wantedCount = wanted.count
        self.head = head
        self.caches = caches
        for (index, row) in rows.enumerated() {
            let limit =
                row.position < configuration.leftTextLength || row.position >= configuration.rightTextStart
                ? configuration.textRows : configuration.imageRows
            guard (0..<limit).contains(row.token), (0..<configuration.sequenceLength).contains(row.position) else {
                throw RudolphError("token \(row.token) at position \(row.position), expected a token less than \(limit)")
            }
            let cache = caches[row.cache]
            guard row.position >= cache.start, row.position < cache.start + cache.capacity else {
                throw RudolphError(
                    "position \(row.position) lies outside its cache of positions \(cache.start) to \(cache.start + cache.capacity - 1)")
            }
            tokens[index] = row
            cacheIndices[index] = Int32(row.cache)
            for (maskIndex, mask) in masks.enumerated() {
                slots[maskIndex][index] = Int32(layout.slot(row.position, mask, isRing: cache.isRing) - cache.start)
            }
        }
        for (index, row) in wanted.enumerated() { self.wanted[index] = Int32(row) }
        for (maskIndex, mask) in masks.enumerated() {
            let runs = self.runs[maskIndex]
            let offsets = runOffsets[maskIndex]
            var count = 0
            offsets[0] = 0
            for (index, row) in rows.enumerated() {
                let boundary = caches[row.cache].start
                layout.visit(row.position, mask, isRing: caches[row.cache].isRing) { first, length in
                    let before = max(0, min(length, boundary - first))
                    if before > 0 {
                        runs[count] = rk_key_run(cache: Int32(row.prefix), first: Int32(first), count: Int32(before))
                        count += 1
                    }
                    if before < length {
                        runs[count] = rk_key_run(
                            cache: Int32(row.cache), first: Int32(first + before - boundary), count: Int32(length - before))
                        count += 1
                    }
                }
                offsets[index + 1] = Int32(count)
            }
        }
        views.removeAll(keepingCapacity: true)
        for layer in 0..<configuration.layers {
            for cache in caches { views.append(cache.layers[layer]) }
        }
        if wantedCount > 0 {
            logitsStride = paddedToPanel(head.rows)
            let needed = wantedCount * logitsStride
            if needed > logitsCapacity {
                rp_free(logitsMemory)
                logitsCapacity = 0
                logitsMemory = nil
                guard let memory = rp_allocate(4 * UInt64(needed)) else {
                    throw RudolphError("out of memory: \(4 * needed) bytes of logits")
                }
                logitsMemory = memory.assumingMemoryBound(to: Float.self)
                logitsCapacity = needed
            }
        }
    }

    /// What each worker does: every step is shared out inside and ends with a barrier.
    private func run(_ worker: UnsafeMutablePointer<rk_worker>) {
        let layers = model.transformer.layers
        prefetch(worker, layers.first?.queryKeyValue, rowCount)
        embedRows(worker)
        if let first = layers.first { norm(worker, first.inputNorm, rowCount, for: first.queryKeyValue) }
        for (index, layer) in layers.enumerated() {
            if worker.pointee.index == 0 { stops[index] = stop.isRaised }
            storeKeysAndValues(worker, index, layer)
            if stops[index] {
                if worker.pointee.index == 0 { isStopped = true }
                return
            }
            var count = rowCount
            let next = index + 1 < layers.count ? layers[index + 1] : nil
            if next == nil {
                // What follows is needed only where logits are wanted.
                count = wantedCount
                if count == 0 { return }
                keepWanted(worker, maskOfLayer[index])
            }
            attend(worker, index, layer, count)
            addAndNorm(worker, layer.firstAdditionNorm, layer.postAttentionNorm, count, for: layer.up)
            expand(worker, index, layer, count, next?.queryKeyValue)
            addAndNorm(
                worker, layer.secondAdditionNorm, next?.inputNorm ?? model.transformer.finalNorm, count, for: next?.queryKeyValue)
        }
        computeLogits(worker, wantedCount)
    }

    private func embedRows(_ worker: UnsafeMutablePointer<rk_worker>) {
        var index = Int(worker.pointee.index)
        while index < rowCount {
            embed(tokens[index], to: hidden + index * hiddenStride)
            index += Int(worker.pointee.count)
        }
        rk_barrier(worker)
    }

    /// Leaves in `wide` queries, keys and values of the normed rows, and puts keys and values into the caches.
    private func storeKeysAndValues(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ layer: LayerWeights) {
        let h = configuration.hiddenSize
        observer?(worker, index, .queryKeyValue, rows(normed, hiddenStride, rowCount, h))
        multiply(worker, layer.queryKeyValue, normed, hiddenStride, narrowIntegers, rowCount, output: wide, wideStride, next: layer.dense)
        withCaches(ofLayer: index) { caches in
            rk_rows_store(
                worker, features, rows(wide + h, wideStride, rowCount, h), rows(wide + 2 * h, wideStride, rowCount, h),
                Int32(configuration.heads), Int32(configuration.headSize), caches, cacheIndices, slots[maskOfLayer[index]])
        }
    }

    /// Attention of the first `count` rows of `wide`, to `output`.
    private func attend(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ layer: LayerWeights, _ count: Int) {
        let mask = maskOfLayer[index]
        withCaches(ofLayer: index) { caches in
            rk_attention(
                worker, features, normed, hiddenStride, wide, wideStride, Int32(count), Int32(configuration.heads),
                Int32(configuration.headSize), caches, runs[mask], runOffsets[mask], scores, scoresStride)
        }
        let context = rows(normed, hiddenStride, count, configuration.hiddenSize)
        observer?(worker, index, .dense, context)
        quantize(worker, context, narrowIntegers, for: layer.dense)
        multiply(worker, layer.dense, normed, hiddenStride, narrowIntegers, count, output: output, hiddenStride, next: layer.up)
    }

    /// The MLP of the normed rows, to `output`; `next` is what is multiplied after it, nil if that is the head.
    private func expand(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ layer: LayerWeights, _ count: Int, _ next: Linear?) {
        observer?(worker, index, .up, rows(normed, hiddenStride, count, configuration.hiddenSize))
        multiply(worker, layer.up, normed, hiddenStride, narrowIntegers, count, activation: RK_GELU, output: wide, wideStride, next: layer.down)
        let inner = rows(wide, wideStride, count, 4 * configuration.hiddenSize)
        observer?(worker, index, .down, inner)
        quantize(worker, inner, wideIntegers, for: layer.down)
        var down = layer.down
        down.matrix.row_sums = sumsOfRows(worker, index, down)
        multiply(
            worker, down, wide, wideStride, wideIntegers, count, output: output, hiddenStride, next: next ?? headMatrix,
            nextRows: next == nil ? head.rows : nil)
    }

    /// The sums of the rows of a layer's `down`; nil where its input has no offsets.
    private func sumsOfRows(_ worker: UnsafeMutablePointer<rk_worker>, _ index: Int, _ down: Linear) -> UnsafePointer<Float>? {
        guard integers(wideIntegers, for: down).offsets != nil else { return nil }
        let sums = rowSums + index * hiddenStride
        if !hasRowSums[index] {
            multiply(worker, down.withoutBias, wide, wideStride, ones, 1, output: sums, hiddenStride, next: down)
            // The others looked before the product ended, at its barrier.
            if worker.pointee.index == 0 { hasRowSums[index] = true }
        }
        return UnsafePointer(sums)
    }

    /// Calls `body` with a layer's part of each cache.
    @inline(__always)
    private func withCaches(ofLayer index: Int, _ body: (UnsafePointer<rk_key_value_cache>) -> Void) {
        views.withUnsafeBufferPointer { views in
            if let base = views.baseAddress { body(base + index * caches.count) }
        }
    }

    private func computeLogits(_ worker: UnsafeMutablePointer<rk_worker>, _ count: Int) {
        guard let logits = logitsMemory else { return }
        let linear = headMatrix
        let normedRows = rows(normed, hiddenStride, count, configuration.hiddenSize)
        withQuantized(narrowIntegers, for: linear) { quantized in
            rk_rows_norm(worker, features, normedRows, normedRows, model.transformer.headNorm, Self.epsilon, quantized)
        }
        multiply(worker, linear, normed, hiddenStride, narrowIntegers, count, outputRows: head.rows, output: logits, logitsStride)
    }

    /// That of the head that was asked for.
    private var headMatrix: Linear {
        switch head {
        case .text: model.transformer.textHead
        case .image: model.transformer.imageHead
        }
    }

    private static let epsilon: Float = 1e-5

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
    private func keepWanted(_ worker: UnsafeMutablePointer<rk_worker>, _ mask: Int) {
        if worker.pointee.index == 0 {
            let h = configuration.hiddenSize
            let offsets = runOffsets[mask]
            var count = 0
            for target in 0..<wantedCount {
                let source = Int(wanted[target])
                if source != target {
                    (wide + target * wideStride).update(from: wide + source * wideStride, count: h)
                    (hidden + target * hiddenStride).update(from: hidden + source * hiddenStride, count: h)
                }
                let range = Int(offsets[source])..<Int(offsets[source + 1])
                offsets[target] = Int32(count)
                for run in range {
                    runs[mask][count] = runs[mask][run]
                    count += 1
                }
            }
            offsets[wantedCount] = Int32(count)
        }
        rk_barrier(worker)
    }

    private func rows(_ data: UnsafeMutablePointer<Float>, _ stride: Int, _ count: Int, _ n: Int) -> rk_rows {
        rk_rows(data: data, stride: stride, count: Int32(count), n: Int32(n))
    }

    /// The rows as `linear` takes them.
    @inline(__always)
    private func integers(_ rows: rk_integer_rows, for linear: Linear) -> rk_integer_rows {
        var rows = rows
        if linear.type != .int8 {
            rows.is_int16 = 0
            rows.offsets = nil
        }
        return rows
    }

    /// Calls `body` with the rows to quantize into, or nil when the next matrix takes floats.
    @inline(__always)
    private func withQuantized(_ rows: rk_integer_rows, for next: Linear?, _ body: (UnsafePointer<rk_integer_rows>?) -> Void) {
        if let next, next.type.quantizesInput {
            withUnsafePointer(to: integers(rows, for: next)) { body($0) }
        } else {
            body(nil)
        }
    }

    private func norm(_ worker: UnsafeMutablePointer<rk_worker>, _ norm: rk_layer_norm, _ count: Int, for next: Linear) {
        let h = configuration.hiddenSize
        withQuantized(narrowIntegers, for: next) { quantized in
            rk_rows_norm(
                worker, features, rows(normed, hiddenStride, count, h), rows(hidden, hiddenStride, count, h), norm, Self.epsilon,
                quantized)
        }
    }

    private func addAndNorm(
        _ worker: UnsafeMutablePointer<rk_worker>, _ inner: rk_layer_norm, _ outer: rk_layer_norm, _ count: Int, for next: Linear?
    ) {
        let h = configuration.hiddenSize
        withQuantized(narrowIntegers, for: next) { quantized in
            rk_rows_add_norm(
                worker, features, rows(normed, hiddenStride, count, h), rows(hidden, hiddenStride, count, h),
                rows(output, hiddenStride, count, h), inner, outer, Self.epsilon, quantized)
        }
    }

    private func quantize(
        _ worker: UnsafeMutablePointer<rk_worker>, _ source: rk_rows, _ target: rk_integer_rows, for next: Linear
    ) {
        withQuantized(target, for: next) { quantized in
            if let quantized { rk_rows_quantize(worker, features, source, quantized) }
        }
    }

    /// What a worker will multiply next: it prefetches the weights while it waits.
    private func prefetch(_ worker: UnsafeMutablePointer<rk_worker>, _ next: Linear?, rows: Int? = nil, _ count: Int) {
        guard var matrix = next?.matrix else { return rk_matmul_prefetch(worker, nil, 0, 0) }
        let rows = rows.map { Int32($0) } ?? matrix.rows
        rk_matmul_prefetch(worker, &matrix, rows, Int32(count))
    }

    private func multiply(
        _ worker: UnsafeMutablePointer<rk_worker>, _ linear: Linear, _ x: UnsafeMutablePointer<Float>, _ stride: Int,
        _ rows: rk_integer_rows, _ count: Int, outputRows: Int? = nil, activation: rk_activation = RK_NONE,
        output: UnsafeMutablePointer<Float>, _ outputStride: Int, next: Linear? = nil, nextRows: Int? = nil
    ) {
        prefetch(worker, next, rows: nextRows, count)
        var input = rk_input(x: x, stride: stride, integers: integers(rows, for: linear), count: Int32(count))
        var matrix = linear.matrix
        rk_matmul(
            worker, features, &matrix, &input, 0, Int32(outputRows ?? linear.rows), linear.bias, activation, output, outputStride)
    }
}
