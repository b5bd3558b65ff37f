import CKernels
import CPlatform

/// How keys and values of earlier positions are kept.
public enum KeyValueFormat: Sendable, CaseIterable {
    /// IEEE half precision.
    case f16
    /// 8 bits, and a scale for each head and position: 53 % of the memory with heads of 64, a little less exact (see Docs/QUALITY.md).
    case int8

    /// The name on command lines.
    public var name: String { self == .f16 ? "f16" : "int8" }

    var elementSize: Int { self == .f16 ? 2 : 1 }
}

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

    /// Halves of the first `positions` positions as a model file has them: for each layer keys, then values, each
    /// [head][position][element].
    static func storedHalves(_ configuration: Configuration, positions: Int) -> Int {
        2 * configuration.layers * configuration.hiddenSize * positions
    }

    /// Takes the first `positions` positions, which are in every layer's first slots, from `stored`. For f16 only.
    func load(_ stored: UnsafePointer<rk_f16>, positions: Int, _ configuration: Configuration) {
        forEachHead(positions, configuration) { $0.update(from: stored + $1, count: $2) }
    }

    /// The reverse of `load`.
    func store(_ stored: UnsafeMutablePointer<rk_f16>, positions: Int, _ configuration: Configuration) {
        forEachHead(positions, configuration) { (stored + $1).update(from: $0, count: $2) }
    }

    /// Calls `body` with each head's slots, the place of its first one in a model file, and how many f16 values they have.
    private func forEachHead(
        _ positions: Int, _ configuration: Configuration, _ body: (UnsafeMutablePointer<rk_f16>, _ stored: Int, _ count: Int) -> Void
    ) {
        let count = positions * configuration.headSize
        var stored = 0
        for layer in layers {
            for part in [layer.keys, layer.values] {
                guard let f16 = part?.assumingMemoryBound(to: rk_f16.self) else { return }
                for head in 0..<configuration.heads {
                    body(f16 + head * layer.slots * configuration.headSize, stored, count)
                    stored += count
                }
            }
        }
    }

    deinit {
        rp_free(memory)
    }
}
