import CKernels
import CPlatform

/// The keys and values of consecutive positions of one sequence, or of a prefix that several sequences share, in every layer.
///
/// Layout: for each layer keys, then values, each [head][slot][element] as halves. Pages are taken from the system when they are first
/// written.
final class KeyValueCache {
    /// The position of the first slot; the slots of a layer are numbered as `AttentionLayout` says, from here.
    let start: Int
    let capacity: Int
    /// One view for each layer.
    let layers: [rk_key_value_cache]
    private let memory: UnsafeMutableRawPointer

    static func bytes(_ configuration: Configuration, capacity: Int) -> UInt64 {
        4 * UInt64(configuration.layers) * UInt64(configuration.hiddenSize) * UInt64(capacity)
    }

    init(_ configuration: Configuration, start: Int, capacity: Int) throws(RudolphError) {
        let bytes = Self.bytes(configuration, capacity: capacity)
        guard let memory = rp_allocate(bytes) else {
            throw RudolphError("out of memory: \(bytes) bytes for the keys and values of \(capacity) positions")
        }
        self.memory = memory
        self.start = start
        self.capacity = capacity
        let halves = memory.assumingMemoryBound(to: rk_f16.self)
        let headStride = capacity * configuration.headSize
        let size = headStride * configuration.heads
        var layers: [rk_key_value_cache] = []
        layers.reserveCapacity(configuration.layers)
        for layer in 0..<configuration.layers {
            let keys = halves + 2 * layer * size
            layers.append(rk_key_value_cache(keys: keys, values: keys + size, head_stride: headStride))
        }
        self.layers = layers
    }

    deinit {
        rp_free(memory)
    }
}
