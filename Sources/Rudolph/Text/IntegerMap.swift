/// A hash table from integers to small integers, built once and then only read: open addressing with linear probing.
struct IntegerMap: Sendable {
    private var keys: [UInt64]
    private var values: [UInt32]
    private let shift: UInt64

    private static let vacant = UInt32.max

    /// Room for `capacity` keys; at most half of the slots are ever taken, so a probe always ends.
    init(capacity: Int) {
        var bits: UInt64 = 4
        while 1 << bits < 2 * capacity { bits += 1 }
        keys = [UInt64](repeating: 0, count: 1 << bits)
        values = [UInt32](repeating: Self.vacant, count: 1 << bits)
        shift = 64 - bits
    }

    subscript(key: UInt64) -> UInt32? {
        let value = values[slot(of: key)]
        return value == Self.vacant ? nil : value
    }

    /// Inserts or replaces; returns the value that was replaced. `value` is less than `UInt32.max`.
    @discardableResult
    mutating func update(_ value: UInt32, for key: UInt64) -> UInt32? {
        let slot = slot(of: key)
        let old = values[slot]
        keys[slot] = key
        values[slot] = value
        return old == Self.vacant ? nil : old
    }

    /// Where `key` is, or the vacant slot where it belongs.
    private func slot(of key: UInt64) -> Int {
        // Fibonacci hashing: the high bits of the product depend on every bit of the key.
        var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while values[slot] != Self.vacant, keys[slot] != key {
            slot = (slot + 1) & (keys.count - 1)
        }
        return slot
    }
}
