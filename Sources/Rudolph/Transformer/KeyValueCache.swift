import CKernels
import CPlatform

/// The keys and values of consecutive positions of one sequence, or of a prefix that several sequences share, in every layer.
///
/// Layout: for each layer keys, then values, each [head][slot][element]; as int8, behind all layers, the scales in the same order. Pages
/// are taken from the system when they are first written.
final class KeyValueCache {
    /// What a cache is for.
    enum Kind {
        /// `capacity` positions, all of which stay.
        case positions(capacity: Int)
        /// An image that no right text follows: layers keep only the rows of tokens that can still be seen.
        case drawing
    }

    /// The position of the first slot; the slots of a layer are numbered as `AttentionLayout` says, from here.
    let start: Int
    let capacity: Int
    let isRing: Bool
    let format: KeyValueFormat
    /// One view for each layer.
    let layers: [rk_key_value_cache]
    private let memory: UnsafeMutableRawPointer

    private static func slots(_ configuration: Configuration, _ mask: Mask, _ kind: Kind) -> Int {
        switch kind {
        case .positions(let capacity): capacity
        case .drawing: AttentionLayout(configuration).keptRows(mask, isRing: true) * configuration.imageTokensPerSide
        }
    }

    /// Slots of all layers.
    private static func slots(_ configuration: Configuration, _ kind: Kind) -> Int {
        var slots = 0
        for layer in 0..<configuration.layers { slots += Self.slots(configuration, configuration.mask(layer: layer), kind) }
        return slots
    }

    /// Bytes of keys and values, a multiple of a cache line.
    private static func elementBytes(_ configuration: Configuration, _ format: KeyValueFormat, _ slots: Int) -> Int {
        (2 * configuration.hiddenSize * slots * format.elementSize + 63) / 64 * 64
    }

    static func bytes(_ configuration: Configuration, _ format: KeyValueFormat, _ kind: Kind) -> UInt64 {
        let slots = slots(configuration, kind)
        let elements = Self.elementBytes(configuration, format, slots)
        return UInt64(format == .f16 ? elements : elements + 8 * configuration.heads * slots)
    }

    init(_ configuration: Configuration, _ format: KeyValueFormat, start: Int, _ kind: Kind) throws(RudolphError) {
        let bytes = Self.bytes(configuration, format, kind)
        guard let memory = rp_allocate(bytes) else {
            throw .outOfMemory("out of memory: \(bytes) bytes for keys and values")
        }
        // Where there is a picture, all positions before the text are used. Of the text itself often few are, and a candidate's cache has only those.
        if start == 0 { rp_prefer_large_pages(memory) }
        self.memory = memory
        self.format = format
        self.start = start
        switch kind {
        case .positions(let capacity): (self.capacity, isRing) = (capacity, false)
        case .drawing: (capacity, isRing) = (configuration.imageLength, true)
        }
        var layers: [rk_key_value_cache] = []
        layers.reserveCapacity(configuration.layers)
        var keys = memory
        var scales: UnsafeMutablePointer<Float>? = nil
        if format == .int8 {
            let elements = Self.elementBytes(configuration, format, Self.slots(configuration, kind))
            scales = (memory + elements).assumingMemoryBound(to: Float.self)
        }
        for layer in 0..<configuration.layers {
            let slots = Self.slots(configuration, configuration.mask(layer: layer), kind)
            let values = keys + format.elementSize * slots * configuration.hiddenSize
            let valueScales = scales.map { $0 + slots * configuration.heads }
            layers.append(rk_key_value_cache(keys: keys, values: values, key_scales: scales, value_scales: valueScales, slots: slots))
            keys = values + format.elementSize * slots * configuration.hiddenSize
            scales = valueScales.map { $0 + slots * configuration.heads }
        }
        self.layers = layers
    }

    /// Bytes of the first `positions` positions as a model file has them: for each layer keys, then values, each [head][position][element], and
    /// int8's scales in the same order.
    static func storedBytes(
        _ configuration: Configuration, _ format: KeyValueFormat, positions: Int
    ) -> (elements: Int, scales: Int) {
        let slots = 2 * configuration.layers * configuration.heads * positions
        return (slots * configuration.headSize * format.elementSize, format == .int8 ? slots * MemoryLayout<Float>.size : 0)
    }

    /// Takes the first `positions` positions, which are in every layer's first slots, from a model file, which has them in this cache's format.
    func load(elements: UnsafeRawPointer, scales: UnsafeRawPointer?, positions: Int, _ configuration: Configuration) {
        forEachHead(positions, configuration) { $0.copyMemory(from: elements + $1, byteCount: $2) }
        if let scales { forEachHead(scalesOf: positions, configuration) { $0.copyMemory(from: scales + $1, byteCount: $2) } }
    }

    /// The reverse of `load`.
    func store(elements: UnsafeMutableRawPointer, scales: UnsafeMutableRawPointer?, positions: Int, _ configuration: Configuration) {
        forEachHead(positions, configuration) { (elements + $1).copyMemory(from: $0, byteCount: $2) }
        if let scales { forEachHead(scalesOf: positions, configuration) { (scales + $1).copyMemory(from: $0, byteCount: $2) } }
    }

    /// Calls `body` with each head's slots, the place of its first one in a model file, and their bytes.
    private func forEachHead(
        _ positions: Int, _ configuration: Configuration, _ body: (UnsafeMutableRawPointer, _ stored: Int, _ bytes: Int) -> Void
    ) {
        let slotBytes = configuration.headSize * format.elementSize
        var stored = 0
        for layer in layers {
            Self.forEachHead(layer.keys, layer.slots, slotBytes, positions, configuration, &stored, body)
            Self.forEachHead(layer.values, layer.slots, slotBytes, positions, configuration, &stored, body)
        }
    }

    /// The same of int8's scales.
    private func forEachHead(
        scalesOf positions: Int, _ configuration: Configuration, _ body: (UnsafeMutableRawPointer, _ stored: Int, _ bytes: Int) -> Void
    ) {
        let slotBytes = MemoryLayout<Float>.size
        var stored = 0
        for layer in layers {
            Self.forEachHead(layer.key_scales, layer.slots, slotBytes, positions, configuration, &stored, body)
            Self.forEachHead(layer.value_scales, layer.slots, slotBytes, positions, configuration, &stored, body)
        }
    }

    private static func forEachHead(
        _ first: UnsafeMutableRawPointer?, _ slots: Int, _ slotBytes: Int, _ positions: Int, _ configuration: Configuration,
        _ stored: inout Int, _ body: (UnsafeMutableRawPointer, _ stored: Int, _ bytes: Int) -> Void
    ) {
        guard let first else { return }
        for head in 0..<configuration.heads {
            body(first + head * slots * slotBytes, stored, positions * slotBytes)
            stored += positions * slotBytes
        }
    }

    deinit {
        rp_free(memory)
    }
}
