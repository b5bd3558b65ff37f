import CKernels
import CPlatform

/// The keys and values of consecutive positions of one sequence, or of a prefix that several sequences share, in every layer.
///
/// Layout: for each layer keys, then values, each [head][slot][element] as halves. Pages are taken from the system when they are first
/// written.
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

    static func bytes(_ configuration: Configuration, _ kind: Kind) -> UInt64 {
        var slots = 0
        for layer in 0..<configuration.layers { slots += Self.slots(configuration, configuration.mask(layer: layer), kind) }
        // Keys and values, two bytes each.
        return 4 * UInt64(configuration.hiddenSize) * UInt64(slots)
    }

    init(_ configuration: Configuration, start: Int, _ kind: Kind) throws(RudolphError) {
        let bytes = Self.bytes(configuration, kind)
        guard let memory = rp_allocate(bytes) else {
            throw RudolphError("out of memory: \(bytes) bytes for keys and values")
        }
        self.memory = memory
        self.start = start
        switch kind {
        case .positions(let capacity): (self.capacity, isRing) = (capacity, false)
        case .drawing: (capacity, isRing) = (configuration.imageLength, true)
        }
        var layers: [rk_key_value_cache] = []
        layers.reserveCapacity(configuration.layers)
        var keys = memory.assumingMemoryBound(to: rk_f16.self)
        for layer in 0..<configuration.layers {
            let headStride = Self.slots(configuration, configuration.mask(layer: layer), kind) * configuration.headSize
            let values = keys + headStride * configuration.heads
            layers.append(rk_key_value_cache(keys: keys, values: values, head_stride: headStride))
            keys = values + headStride * configuration.heads
        }
        self.layers = layers
    }

    deinit {
        rp_free(memory)
    }
}
