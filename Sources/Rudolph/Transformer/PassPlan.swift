import CKernels

/// The pass that is running: its rows, where their keys and values go, which keys each sees, and what workers have found. Room is made once, for the
/// most rows of a pass.
final class PassPlan {
    let maximum: Int
    private(set) var count = 0
    /// Rows whose logits are wanted, and which they are.
    private(set) var wantedCount = 0
    private let wanted: UnsafeMutablePointer<Int32>
    private(set) var head = Transformer.Head.text(rows: 0)
    let rows: UnsafeMutablePointer<Transformer.Row>
    /// The cache of each row.
    let cacheIndices: UnsafeMutablePointer<Int32>
    /// Whether worker 0 found the flag raised before each layer: read only after a barrier, so that all workers stop together.
    let stops: UnsafeMutablePointer<Bool>
    var isStopped = false
    /// For each worker the first wanted row whose logits it found not to be finite.
    private let damaged: UnsafeMutablePointer<Int>
    private let threads: Int

    private let configuration: Configuration
    private let layout: AttentionLayout
    private let masks: [Mask]
    /// For each layer, the index of its mask in `masks`.
    private let maskOfLayer: [Int]
    // For each mask: the slot of each row's keys, the runs that the rows see, and where those of each row begin and the last one's end.
    private var slots: [UnsafeMutablePointer<Int32>] = []
    private var runs: [UnsafeMutablePointer<rk_key_run>] = []
    private var runOffsets: [UnsafeMutablePointer<Int32>] = []
    private var caches: [KeyValueCache] = []
    /// For each layer its part of each cache.
    private var views: [rk_key_value_cache] = []

    init(_ model: Model, maximum: Int, threads: Int) {
        self.maximum = maximum
        self.threads = threads
        configuration = model.configuration
        layout = AttentionLayout(configuration)
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
        rows = .allocate(capacity: maximum)
        rows.initialize(repeating: Transformer.Row(token: 0, position: 0, cache: 0), count: maximum)
        wanted = .allocate(capacity: maximum)
        cacheIndices = .allocate(capacity: maximum)
        stops = .allocate(capacity: configuration.layers)
        damaged = .allocate(capacity: threads)
        for mask in masks {
            slots.append(.allocate(capacity: maximum))
            // A run may be split once, where the shared prefix ends.
            runs.append(.allocate(capacity: maximum * (layout.maximumRuns(mask) + 1)))
            runOffsets.append(.allocate(capacity: maximum + 1))
        }
    }

    deinit {
        rows.deallocate()
        wanted.deallocate()
        cacheIndices.deallocate()
        stops.deallocate()
        damaged.deallocate()
        for pointer in slots { pointer.deallocate() }
        for pointer in runs { pointer.deallocate() }
        for pointer in runOffsets { pointer.deallocate() }
    }

    /// How many image tokens from `index` on one pass may compute in caches of drawings.
    func ringTokensAtOnce(from index: Int) -> Int {
        var least = configuration.imageLength - index
        for mask in masks { least = min(least, layout.ringTokensAtOnce(from: index, mask)) }
        return least
    }

    /// Takes the rows of the next pass, see `Transformer.pass`.
    func prepare(
        _ rows: [Transformer.Row], _ caches: [KeyValueCache], wanted: [Int], _ head: Transformer.Head
    ) throws(RudolphError) {
        guard rows.count <= maximum, wanted.count <= rows.count, !rows.isEmpty else {
            throw RudolphError("a pass of \(rows.count) positions, expected 1 to \(maximum)")
        }
        isStopped = false
        damaged.initialize(repeating: .max, count: threads)
        count = rows.count
        wantedCount = wanted.count
        self.head = head
        self.caches = caches
        for (index, row) in rows.enumerated() { try place(row, at: index) }
        for (index, row) in wanted.enumerated() { self.wanted[index] = Int32(row) }
        for maskIndex in masks.indices { findRuns(ofMask: maskIndex) }
        views.removeAll(keepingCapacity: true)
        for layer in 0..<configuration.layers {
            for cache in caches { views.append(cache.layers[layer]) }
        }
    }

    /// The caches are their owners' again.
    func forgetCaches() { caches = [] }

    private func place(_ row: Transformer.Row, at index: Int) throws(RudolphError) {
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
        rows[index] = row
        cacheIndices[index] = Int32(row.cache)
        for (maskIndex, mask) in masks.enumerated() {
            slots[maskIndex][index] = Int32(layout.slot(row.position, mask, isRing: cache.isRing) - cache.start)
        }
    }

    private func findRuns(ofMask maskIndex: Int) {
        let runs = self.runs[maskIndex]
        let offsets = runOffsets[maskIndex]
        var found = 0
        offsets[0] = 0
        for index in 0..<count {
            let row = rows[index]
            let boundary = caches[row.cache].start
            layout.visit(row.position, masks[maskIndex], isRing: caches[row.cache].isRing) { first, length in
                let before = max(0, min(length, boundary - first))
                if before > 0 {
                    runs[found] = rk_key_run(cache: Int32(row.prefix), first: Int32(first), count: Int32(before))
                    found += 1
                }
                if before < length {
                    runs[found] = rk_key_run(cache: Int32(row.cache), first: Int32(first + before - boundary), count: Int32(length - before))
                    found += 1
                }
            }
            offsets[index + 1] = Int32(found)
        }
    }

    /// Calls `body` with a layer's part of each cache.
    @inline(__always)
    func withCaches(ofLayer index: Int, _ body: (UnsafePointer<rk_key_value_cache>) -> Void) {
        views.withUnsafeBufferPointer { views in
            if let base = views.baseAddress { body(base + index * caches.count) }
        }
    }

    /// Where the keys of each row go in a layer.
    func slots(ofLayer index: Int) -> UnsafeMutablePointer<Int32> { slots[maskOfLayer[index]] }

    /// What the rows see in a layer, as rk_attention takes it.
    func runs(ofLayer index: Int) -> (runs: UnsafeMutablePointer<rk_key_run>, offsets: UnsafeMutablePointer<Int32>) {
        (runs[maskOfLayer[index]], runOffsets[maskOfLayer[index]])
    }

    /// Moves the runs of the wanted rows to the front, and calls `move` for what else they have, in an order in which nothing is lost. For the last
    /// layer, as nothing follows it that all rows would be needed for.
    func keepWanted(lastLayer index: Int, _ move: (_ source: Int, _ target: Int) -> Void) {
        let (runs, offsets) = runs(ofLayer: index)
        var kept = 0
        for target in 0..<wantedCount {
            let source = Int(wanted[target])
            if source != target { move(source, target) }
            let range = Int(offsets[source])..<Int(offsets[source + 1])
            offsets[target] = Int32(kept)
            for run in range {
                runs[kept] = runs[run]
                kept += 1
            }
        }
        offsets[wantedCount] = Int32(kept)
    }

    /// A worker found logits of a wanted row that are not finite.
    func noteDamage(_ worker: Int, wanted index: Int) { damaged[worker] = min(damaged[worker], index) }

    /// The position of the first wanted row that a worker noted.
    var damagedPosition: Int? {
        var first = Int.max
        for worker in 0..<threads { first = min(first, damaged[worker]) }
        return first < wantedCount ? rows[Int(wanted[first])].position : nil
    }
}
